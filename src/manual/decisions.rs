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
//! messages always takes one. `latest` and starts inside a frame promise single messages; they cut, and
//! clear the CRC flag instead of vouching for bytes the publisher did not sum up.
//!
//! # Replayed frames are addressed, live ones are not
//!
//! A connection gets a live message once, however many of its subscriptions match, but replay is what
//! one of them asked for. So replayed frames name it, in a copy of the frame: the kept bytes are shared
//! with everybody. The copy is made for a send and counted in the budget; while that is used up, it
//! is one frame at a time.
//!
//! # Live joins replay at the owner
//!
//! The subscription is announced to each core that may own its topics before that core is asked for
//! what it keeps, on one lane: what the answer has not, comes live. Nothing is sent before all cores
//! have answered. The other way, replay first and then a live start at the next sequence, needs a
//! second round whenever something came in between.
//!
//! # `block` signals early and releases late
//!
//! A queue asks publishers to wait at three quarters and lets them go on at half. One threshold would
//! stop and start them at every send. The signal takes a turn of two or three cores, and what they had
//! under way meanwhile is queued beyond the bound: to drop it would break the promise, to hold it
//! in the mesh would hold up other topics. It is bounded by what the mesh holds, and counted.
//!
//! Publishers are held up one by one, by not reading their sockets, and only for MESSAGES to that
//! topic. No core waits, so two cores cannot wait for each other; connections can, and
//! `queues.block_timeout_ms` ends that.
//!
//! # Topics are hashed by their first token
//!
//! By the whole name, what one publisher sends to `orders.eu` and `orders.us` would be ordered by two
//! cores, and reach a subscription to `orders.*` in whatever order those have. nats-server keeps it, and
//! programs count on it: seven of nats-py's own tests do. So topics that begin alike have one owner. Its
//! work is a small part: it stamps headers and passes references on, while receiving, checking,
//! writing text and sending are with the cores of the connections. A pattern that begins with a literal
//! token need be announced to one core only. The price: a broker with one first token orders on
//! one core. Chaining batches through owners keeps order as well, at a hop for each change of owner.
//!
//! # A group has one coordinator
//!
//! The core that its name hashes to keeps the group's queue and deals frames to members, in turn,
//! up to each one's capacity; a member's core says what it has sent, which makes room. Dealing at each
//! topic's owner would save a hop, but every owner would need to know how full each member is, and an
//! order of hand-backs between owners. The hop is the price of groups; plain subscribers do not pay.
//!
//! Groups of one name are all on one core, whatever their patterns, because NATS clients share messages
//! over the patterns of one queue group, and only who sees all of them can choose one. A broker whose
//! only group name is `workers` deals all of its groups on one core.
//!
//! # NATS messages are stored as BLIP/1 frames, one each
//!
//! So everything behind the front door is as it was: batches, sequences, logs, queues, policies, memory,
//! other cores. Text is made when it is sent, once for all subscriptions that clients call alike (they
//! number them from 1) and one portion; in a fan-out that is once. To store text as it goes out
//! would save that one copy for pairs, and cost one for every other name and for BLIP/1 subscribers.
//! One frame per message, not one for many, because frames are the unit of drop and of dealing.
//!
//! # A NATS subject is found by its name, once a batch
//!
//! BLIP/1 publishers OPEN a topic and then name it by a number. NATS clients have no such step, so the
//! connection's core gathers by subject, and the owner looks the name up once for each batch. A run of
//! messages to the subject of the one before is compared with it and appended, nothing else; a table
//! of subjects for each connection would cost memory and save nothing.
//!
//! # Inboxes are not topics
//!
//! Every request of most clients has a subject of its own, which nobody uses again. As topics they
//! would fill `limits.max_topics` within hours. They pass: the owner knows who subscribed, and forgets the
//! name with the batch. BLIP/1 subscribers are told such a topic under an id for that batch alone.
//!
//! # PING is a fence
//!
//! Clients take PONG for the end of what they sent: tests and programs subscribe, flush, and tell
//! others to publish. With several cores a PONG of the connection's core alone would say little. So it
//! asks the others, which answer in the order of the lane, and the connection's next commands wait for
//! that: some microseconds, for a command that comes rarely.
//!
//! # Permissions are asked for when something is named, not for every message
//!
//! OPEN names a topic and SUBSCRIBE a pattern: there a user's lists are looked through, and the answer
//! holds for what follows. A pattern of which a part is denied is filtered where the targets of a topic
//! are found, which is kept until subscriptions change. So a broker with users delivers a message for
//! what one without them does. Replay and groups go other ways; rather than filter there too, such
//! patterns are refused with the reason.
//!
//! A token and users exclude each other, as in nats-server: whoever has the token could do what the
//! users may not. Without `[auth]` BLIP/1 credentials are refused, since nobody would have checked them.
//!
//! The crate `nkeys` would do for public keys, but brings rand, getrandom, signatory and an older
//! ed25519-dalek for making keys and seeds. What is needed here, base32 with a checksum around a key, is
//! forty lines over ed25519-dalek and data-encoding.
//!
//! # What the memory budget counts
//!
//! Frames of messages from the moment they get their sequence until nobody refers to them: in queues,
//! kept by topics, on the mesh, under way in sends, copies for replay and groups. Once, however many
//! share them, with 160 bytes per batch for what surrounds them; and 96 bytes for each entry of each
//! queue. With many stalled subscribers those entries are most of it: 2,000 of them cost 192 KB per
//! batch. Not counted: connections, topics, the turn that is being taken in, cut frames of `latest`, socket
//! buffers of the kernel.
//!
//! Over seven eighths the oldest kept messages go, on all cores; over all of it publishes are refused.
//! Queues do not give way: what a subscriber was promised stays until it reads, leaves, or its own
//! bound is reached. Stalled subscribers can therefore use the budget up; who does not want that gives
//! queues bounds, `subscriber_capacity` and `subscriber_bytes`, that fit into it together.
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
//! # A core sleeps on its data ring first
//!
//! glommio's way to sleep costs four system calls and a `membarrier`, which interrupts the other
//! cores. So a core waits up to 100 ms in the one call that also submits what is queued, and only
//! then gives the thread to glommio. A round trip of one message went from 12 system calls a hop to 2.
//!
//! # A core that expects an arrival looks for it before it sleeps
//!
//! To sleep and to be woken costs a core some 20 us of CPU on a virtual machine, and its clients that
//! much latency. A core whose last sleep was shorter than 80 us therefore looks at the ring and the
//! mesh, without a system call, for up to 40 us: as long as it could have been busy with going to
//! sleep. Once in vain, and it sleeps until arrivals come soon again. Without traffic it costs nothing:
//! that is the promise "idle costs nothing". A single publisher at 1,000 to 20,000 messages a second
//! cost up to 1.6 times the CPU here, at 30,000 to 60,000 twice, for a median latency of 0.6 to 0.75 of
//! what it was; round trips one after the other took 0.4 of the time for the same CPU; loads that keep
//! the core busy were the same. `server.busy_poll_us` sets the time, 0 turns it off.
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
//! # The admin pages have a thread of their own
//!
//! axum and tokio serve metrics, health checks, the API and the dashboard on one ordinary thread, which
//! is pinned nowhere. The cores only bump counters that they alone write; the pages read them. A slow
//! scrape costs no message anything.
//!
//! # Lists are asked of the cores, a slice per turn
//!
//! Only a core may read its connections, subscriptions and topics, so it is asked, and answers between
//! turns: at most 512 places per turn, of which it keeps the rows wanted and no others. One question
//! over a million topics is some 2,000 such slices, each the length of a few messages, and no message
//! waits for more than one. To publish copies for readers would cost every message something; locks
//! would make cores wait for whoever reads. So `/healthz` is real too: a core that does no turns gives
//! no answer.
//!
//! # Latency is counted when the turn is over
//!
//! The histogram `accept_to_send` runs from the turn in which a message arrived, on whatever core, to
//! the turn after the one that sent it: the kernel copies what is sent when a turn ends, and the next
//! reading of the clock is the first that has this in it. Three readings that would be cheaper to get
//! are wrong: within one turn it would be 0, at the gathering the copy would be missing, and at the
//! completion of the send a slow client's network would be in it. It costs a few nanoseconds per
//! portion and connection, and no reading of the clock of its own.
//!
//! # Single subscriptions are told of by rank
//!
//! Labels with a client's or a pattern's name would make as many series as there ever were clients. So
//! Prometheus is shown the worst ten by lag, by bytes and by losses, under `rank`; who they are tells
//! `/api/v1/subscriptions`, the dashboard and `blipmq top`.
//!
//! # An idle broker can look like iowait
//!
//! Some kernels count a thread that waits in io_uring as waiting for a disk. A sleeping executor then
//! shows as iowait in `top`, though the CPU is free for others. `top`'s other columns, or
//! `/proc/<pid>/stat`, tell that nothing runs.
