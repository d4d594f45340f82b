//! The driver over a simulated kernel: everything that a kernel may do and that no test with real
//! sockets can bring about at will, each as a claim.

mod accepting;
mod closing;
mod pauses;
mod receives;
mod sends;
mod sleeping;
mod stopping;
mod support;
mod turns;
