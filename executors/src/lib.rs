//! Cores, sockets, rings, buffers, channels, clock. Knows nothing of topics.
