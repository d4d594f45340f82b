//! Why it is like this. Each entry says what else there was.
//!
//! # A ring of our own beside glommio's
//!
//! glommio's sockets make one system call per send and have no vectored one, so fan-out to many
//! subscribers could not be batched. Each executor therefore has a second io_uring, the *data ring*,
//! for all its sockets: multishot accept, multishot receive into a ring of buffers, vectored sends,
//! and one `io_uring_enter` a turn. glommio pins, runs and wakes the one task that drives it.
//!
//! # glommio's preempt timer never fires
//!
//! When that timer fires between being armed and the first task of a round, glommio 0.9.0 believes
//! that no task is ready, and sleeps. If the driver was ready, its core is dead: nobody knows that it
//! has to be woken. At the 1 ms that would suit other tasks one thread switch at the wrong
//! place was enough. The driver is the only task of its executor, so
//! a timer that never fires costs nothing. Before a second task, or a timer of glommio, is added to
//! these executors this has to be solved in glommio.
//!
//! # One copy, into a batch per topic
//!
//! A received frame is copied once, behind the others that the turn brought for its topic. Keeping it
//! in the receive buffer would save that copy, but one slow subscriber would then hold whole buffers
//! of other people's bytes, and neighbours would not lie side by side: fan-out would cost per frame,
//! not per batch. Batches are [`bytes`], so queues on several cores refer to them without locks.
//!
//! # Frames are the unit of drop
//!
//! A frame carries one `crc` over all its records and is forwarded as it is. Cutting it would mean to
//! compute a checksum nobody asked the broker for. So policies drop whole frames, and a queue without
//! messages always takes one.
//!
//! # Two lanes between cores
//!
//! Requests go to the owner of a topic, deliveries come from it. With one lane a core that waits for
//! room to deliver would stop reading what others deliver to it, and two such cores would wait for
//! each other for ever. Deliveries are therefore read whatever is full, and requests only while
//! deliveries can be sent.
//!
//! # Input waits while a free socket has more to send
//!
//! A send takes `max_batch` messages. If a subscriber reads as fast as its core writes, it must not
//! lose messages because publishers are faster: so a core whose sockets took everything offered, and
//! could take more, sends before it takes anything in. A subscriber that does not read has no free
//! socket and holds nobody up.
//!
//! # A letter per turn, a wake-up per sleeper
//!
//! What a core has for another in one turn travels as one letter, so channels count turns. A core is
//! woken only if it said that it sleeps; both sides have a full fence between what they write and what
//! they look at, so one of them sees the other.
//!
//! # Core 0 accepts
//!
//! `SO_REUSEPORT` deals by a hash of addresses, which is uneven with few connections. One core
//! accepts and gives each socket to the core with the fewest.
//!
//! # Closing lingers
//!
//! Closing a socket with unread bytes makes the kernel send a reset, which can overtake the last ERROR
//! on its way. So the write side is shut, and what the peer still sends is read and thrown away until
//! it closes, for [`LINGER_MS`](crate::limits::LINGER_MS) at most.
//!
//! # The metrics page has a thread of its own
//!
//! axum and tokio serve it on one ordinary thread. The cores only bump counters that they alone write;
//! the page reads them. A slow scrape costs no message anything.
//!
//! # An idle broker can look like iowait
//!
//! Some kernels count a thread that waits in io_uring as waiting for a disk. A sleeping executor then
//! shows as iowait in `top`, though the CPU is free for others. `top`'s other columns, or
//! `/proc/<pid>/stat`, tell that nothing runs.
