//! Why it is like this: each decision, and the alternatives.
//!
//! # Rooms and effects, not methods of one struct
//!
//! The broker of a core was one struct with 33 fields and 176 methods in 25 files, and each method could
//! reach every field. To change one file, a developer had to read the others. Now each folder of
//! `src/broker/` owns its state, and `use` lines point in one direction. What a room cannot do itself
//! becomes a value that the room returns, or an *effect*, which `turn` carries out.
//!
//! Callbacks or traits for the upper rooms would keep the circle and only hide it. A queue of events,
//! served at the end of the turn, would change the order: a GAP, the message behind it and the ACK for
//! that message depend on each other. Effects are therefore carried out depth first, which is the order
//! that calls have. The digests of 1,200 worlds of the simulator were the same before and after.
//!
//! A core asks itself on the way on which it asks others. A short cut for the own core would be a second
//! version of each request, and a broker of one core would test only that version.
//!
//! # Frontends are an enum, made from a list
//!
//! A protocol is one type that implements the trait `Frontend`, and one line in the list `protocols!` of
//! `src/broker/frontends/mod.rs`. A macro makes the enum and the matches from that list. `dyn Frontend`
//! would cost an indirect call for every piece of every send, and could not give a protocol a type for
//! what its connections share on a core, except by downcasts. A type parameter of the broker would allow
//! one protocol per broker. Before, the enum and its matches were written by hand, and a new protocol
//! meant new code in most files of the broker. The enum holds a box, so a client costs its own size and
//! not that of the largest protocol.
//!
//! # One turn, over a port
//!
//! The order of a turn was written four times: for the server, the simulator, the fuzzer and the
//! benchmarks. Two copies had drifted: neither looked whether another turn was due, nor whether mesh
//! messages were wanted. What is tested must be what runs, so the turn is one function now, generic over
//! a [`Port`](crate::broker::port::Port). The methods of a port cannot fail: if a failure came back in the
//! middle of a turn, each caller would need its own recovery. Failures are events of a later turn.
//!
//! [`InMemory`](crate::broker::port::InMemory) is a port that keeps what a broker hands out. It is in the
//! library, not in the tests, because a program that embeds a broker of one core needs the same:
//! `examples/embed.rs`.
//!
//! # The simulator runs the real driver
//!
//! The simulator used to have a driver of its own, which repeated what `executors` does: slots, phases,
//! closing, waking. A mistake in the real driver could not be found there. Now the ring is a trait with
//! two implementations, and the simulator plays a kernel below the real driver and the real relay. Its
//! first hundred seeds found a core that slept while connections waited for a receive buffer. Real
//! sockets in the simulator would test the kernel as well, but the same seed would no longer mean the
//! same world. The kernel is covered by the tests of `executors` and of the binary.
//!
//! # The ring owns what is in flight
//!
//! Sends, receives and accepts were safe functions, and a comment asked their caller to keep memory and
//! descriptors alive until the kernel was done. A caller that forgot caused undefined behaviour. Now a
//! request hands the ring whatever the kernel may touch, and the ring keeps it until the last completion.
//! That adds no allocation per send: send operations are used again.
//!
//! # The client is a crate of its own
//!
//! As a feature of the broker's crate the client compiled the broker, TOML, ed25519 and JSON: 48 lines of
//! `cargo tree`, 45 seconds of CPU time. `blipmq-client` depends on `blipmq-protocol`, `bytes`,
//! `thiserror`, `crc32c` and `socket2`, and with the feature `tokio` on that. The blocking client is the
//! default because a program that only publishes or subscribes needs no runtime. The `async` functions
//! wrap the blocking client, so both have the same behaviour. The client's tests are in the broker's
//! package, because they need the real binary.
//!
//! # CI compiles once, in one profile
//!
//! `.ci/run` uses the binaries and dependencies that `cargo test` leaves behind, for every step.
//! `cargo build` after `cargo test` compiled part of the tree again, because features that only tests ask
//! for are not asked for then; release builds and benchmarks compiled everything twice more, with
//! link-time optimisation. `.ci/run` keeps the seeds of the simulator, so that a change is judged by what
//! the change did. Fresh seeds, long fuzzing, whole comparisons and release builds are in `.ci/long`,
//! which runs before a release.
//!
//! # A ring of our own beside glommio's
//!
//! glommio's sockets make one system call per send and have no vectored send, so they cannot batch the
//! fan-out to many subscribers. Each executor therefore has a second io_uring, the *data ring*, for all
//! its sockets: multishot accept, multishot receive into a ring of buffers, vectored sends, and one
//! `io_uring_enter` per turn. glommio pins, runs and wakes the single task that drives this ring.
//!
//! # glommio's preempt timer never fires
//!
//! If that timer fires after it is armed and before the first task of a round runs, glommio 0.9.0
//! believes that no task is ready, and sleeps. If the driver was ready, its core is dead: nothing knows
//! that the core has to be woken. With the 1 ms that would suit other tasks, one thread switch at the
//! wrong place was enough. The driver is the only task of its executor, so a timer that never fires
//! costs nothing. Before these executors get a second task, or a timer of glommio, the problem has to be
//! solved in glommio.
//!
//! # One copy, into a batch per topic
//!
//! A received frame is copied once, behind the other frames that the turn brought for its topic. Leaving
//! the frame in the receive buffer would save that copy, but then one slow subscriber would hold whole
//! buffers with the bytes of others, and neighbouring messages would not lie side by side: fan-out would
//! cost per frame, not per batch. Batches are [`bytes`], so queues on several cores refer to them
//! without locks.
//!
//! # Frames are the unit of drop
//!
//! A frame carries one `crc` over all its records and is forwarded unchanged. To cut a frame the broker
//! would have to compute a checksum that nobody asked it for. So policies drop whole frames, and an
//! empty queue always takes one. `latest` and starts inside a frame promise single messages. They cut
//! the frame and clear its CRC flag instead of vouching for bytes that the publisher did not sum up.
//!
//! # Replayed frames are addressed, live ones are not
//!
//! A connection gets a live message once, however many of its subscriptions match, but a replay is what
//! one subscription asked for. So replayed frames name that subscription, in a copy of the frame: the
//! retained bytes are shared by all subscribers. The copy is made for one send and counts against the
//! memory budget. When the budget is used up, the broker copies one frame at a time.
//!
//! # Live joins replay at the owner
//!
//! The subscription is announced to each core that may own its topics before that core is asked for its
//! retained messages, on the same lane: a message that is not in the answer comes live. Nothing is sent
//! to the subscriber before all cores have answered. The other order, replay first and then a live start
//! at the next sequence, needs a second round whenever messages arrive in between.
//!
//! The owner answers in parts of at most 512 topics, because a walk over a million topics in one turn
//! would delay every message of the core. A part says how far its walk is, so that messages accepted
//! meanwhile are either in a later part or come live, never both.
//!
//! # `block` signals early and releases late
//!
//! A queue asks publishers to wait at three quarters and lets them continue at half. A single threshold
//! would stop and start them at every send. The signal takes a turn of two or three cores, and what
//! these cores have under way meanwhile is queued beyond the bound: dropping it would break the promise,
//! and holding it in the mesh would delay other topics. The excess is bounded by what the mesh holds,
//! and counted.
//!
//! The broker holds publishers up one by one, by not reading their sockets, and only for MESSAGES to
//! that topic. No core waits, so two cores cannot wait for each other. Two connections can, and
//! `queues.block_timeout_ms` ends that.
//!
//! So `block` is a power over others, and a right that comes with duties. A subscriber has to take what it
//! is sent at `queues.block_min_rate`. The rate is measured over the time in which publishers wait, added
//! up over all subscriptions of the connection: a subscriber that takes one message, lets publishers go on
//! for a moment and stalls again would otherwise begin anew each time.
//!
//! # Topics are hashed by their first token
//!
//! If topics were hashed by the whole name, two cores would order what one publisher sends to
//! `orders.eu` and `orders.us`, and a subscription to `orders.*` would get the messages in any order.
//! nats-server keeps the publisher's order, and programs count on it: seven of nats-py's own tests do.
//! So topics with the same first token have one owner. The owner's share of the work is small: it stamps
//! headers and passes references on, while the cores of the connections receive, check, write text and
//! send. A pattern that begins with a literal token needs to be announced to one core only. The price: a
//! broker whose topics share one first token orders all of them on one core. Passing batches through a
//! chain of owners would also keep the order, at the cost of a hop for each change of owner.
//!
//! # A group has one coordinator
//!
//! The core that the group's name hashes to has the group's queue and deals frames to members, in turn,
//! up to each member's capacity. The core of a member reports what it has sent, which makes room.
//! Dealing at each topic's owner would save a hop, but every owner would need to know how full each
//! member is, and the owners would need an order for messages that are handed back. Groups pay for the
//! hop; plain subscribers do not.
//!
//! All groups of one name are on one core, whatever their patterns, because NATS clients share messages
//! over the patterns of one queue group, and only a core that sees all members can choose one. A broker
//! whose only group name is `workers` deals all of its groups on one core.
//!
//! # NATS messages are stored as BLIP/1 frames, one each
//!
//! So everything behind the frontend is the same for both protocols: batches, sequences, logs, queues,
//! policies, memory, other cores. Text is made at the send, once per slice for all subscriptions with
//! the same number (clients count from 1); in a fan-out that is once. Storing the outgoing text would
//! save that one copy for pairs, and would cost a copy for every other number and for BLIP/1
//! subscribers. Each message is a frame of its own, because frames are the unit of drop and of dealing.
//!
//! # A NATS subject is found by its name, once a batch
//!
//! BLIP/1 publishers OPEN a topic and then use its number. NATS clients have no such step, so the core
//! of the connection gathers messages by subject, and the owner looks the name up once per batch. A
//! message to the same subject as the message before it is compared with that one and appended, nothing
//! else. A table of subjects for each connection would cost memory and save nothing.
//!
//! # Inboxes are not topics
//!
//! Every request of most clients has a subject of its own, which is never used again. As topics these
//! subjects would fill `limits.max_topics` within hours. They are ephemeral: the owner knows the
//! subscribers and forgets the name with the batch. BLIP/1 subscribers see such a topic under an id for
//! that batch alone.
//!
//! Clients may choose another prefix than `_INBOX.`, so the prefix alone does not tell. The core of a
//! requester notes the name for the answer with the core that would own it, which remembers a hash of the
//! name for a minute. A table of names has a bound that requests cannot exceed, and needs no end of a
//! request: when the name is forgotten too early, an answer makes a topic, which goes when it is idle.
//!
//! # A topic that nobody uses goes
//!
//! Publishers of BLIP/1 hold ids, and no core knows which of them still does. Rather than count them, the
//! owner removes an idle topic, and refuses an id that it does not know: with an error that clients have
//! to expect anyway, and on which they open the topic again. A subscription keeps the topics that match
//! its pattern, so subscribers see one life of a topic, and ids are never used again.
//!
//! # PING is a fence
//!
//! Clients take PONG as the end of what they sent: tests and programs subscribe, flush, and then ask
//! others to publish. With several cores, a PONG from the core of the connection alone would say little.
//! So that core asks the others, which answer in the order of the lane, and the connection's next
//! commands wait for the answers. What comes back through a group travels over three cores, and a fence
//! that goes there directly overtakes it; so the fence of a member passes through the coordinators of its
//! groups, on the lane of the messages. That costs some microseconds for a command that is rare.
//!
//! # Permissions are checked when something is named, not for every message
//!
//! OPEN names a topic and SUBSCRIBE a pattern. At that point the broker goes through the user's lists,
//! and the result holds for what follows. If a part of a pattern is denied, the filter is where the
//! targets of a topic are computed, and that result is cached until subscriptions change. So delivering
//! a message costs the same with users as without. Replay and groups take other paths. Rather than
//! filter there too, the broker refuses such patterns with the reason.
//!
//! A token and users exclude each other, as in nats-server: a client with the token could do what users
//! may not. Without `[auth]` the broker refuses BLIP/1 credentials, since it could not check them.
//!
//! The crate `nkeys` would handle public keys, but brings rand, getrandom, signatory and an older
//! ed25519-dalek to make keys and seeds. The broker only needs base32 with a checksum around a key:
//! forty lines over ed25519-dalek and data-encoding.
//!
//! # What the memory budget counts
//!
//! The frames of messages, from the moment they get their sequence until nothing refers to them: in
//! queues, in logs, on the mesh, under way in sends, in copies for replay and groups. Each frame counts
//! once, however many references share it, plus 160 bytes per batch for its bookkeeping and 96 bytes for
//! each entry of each queue. With many stalled subscribers those entries dominate: 2,000 of them cost
//! 192 KB per batch. Further: half-received messages, answers that were not read, and an estimate for each
//! subscription with its pattern and names. Not counted: connections, topics, the turn that is being taken
//! in, cut frames of `latest`, socket buffers of the kernel.
//!
//! Above seven eighths of the budget the oldest retained messages are evicted, on all cores, then those who
//! hold most lose theirs, see below; above all of it publishes wait, and are refused if nothing can be
//! reclaimed. What a subscriber was promised under `block` or `disconnect` is not dropped: it is disconnected
//! and told why.
//!
//! # Two lanes between cores
//!
//! Requests go to the owner of a topic, deliveries come from the owner. With one lane, a core that waits
//! for room to deliver would stop reading what others deliver to it, and two such cores would wait for
//! each other forever. So a core always reads deliveries, and reads requests only while it can send
//! deliveries.
//!
//! # Input waits while a free socket has more to send, and not for long
//!
//! A subscriber that reads as fast as its core writes loses nothing, however fast publishers are: while a
//! queue of a connection with a free socket could overflow in the next turn, input waits. It waits for
//! four turns in a row at most. Before that bound eight well-behaved readers of a retained topic took 98 % of
//! everybody's rate (`F1i` of `tests/hostile`).
//!
//! # A connection has a share of each turn
//!
//! Commands that publish nothing cost their sender a line and the broker a search. So each connection has
//! 128 of them served in a turn, all together 1,024, and what is left is gone on with before more is
//! received: it has half of a turn while others send. Published messages have a bound of their own, that of
//! the queues. Bytes arrive one buffer of each connection in turn, and a connection with eight that were not
//! handed on is not received from. One client that streamed PING, `+OK`, UNSUB or CONNECT left a witness
//! between 0 and 30 % of its rate before, and leaves it all of it now; nothing is measured in time, so that
//! the simulator repeats it.
//!
//! # Whatever a client sends is its sign of life
//!
//! A client that is asked and says something else than PONG is there. So the count of PINGs begins anew with
//! every byte, for both protocols, and a client that cannot come to its PING, because messages that its
//! caller has not taken stand before it, says PONG unasked, as the Rust client does. A socket that was full
//! and takes a send shows that its peer reads, so a slow reader is not closed for a PONG that cannot be there
//! yet; one send that finds room in the kernel's buffers shows nothing. Nobody is silent whose bytes are not
//! read. BLIP/1 asks after 30 s and not after the two minutes of nats-server: a member of a group that hangs
//! keeps its share of the jobs until it is out.
//!
//! # What many can wait for is a list by reason
//!
//! Connections that wait for a topic, a core, memory, their answers or their rate are not looked at in every
//! turn: what they wait for releases them. Subscriptions of a connection that goes are over at once by one
//! number, and swept 512 a turn.
//!
//! # Who holds most pays first
//!
//! Near the memory budget, retained messages go first. Then connections and groups lose their oldest messages,
//! by their own policy, or are closed where nothing can be dropped: the largest first, and nobody below a fair
//! share. They are found in lists by what they hold, a quarter of a doubling wide. Publishers wait for that,
//! half a second at most, and are refused only if nothing can be reclaimed.
//!
//! # A core sleeps on its data ring first
//!
//! glommio's way to sleep costs four system calls and a `membarrier`, which interrupts the other cores.
//! So a core waits up to 100 ms in the one call that also submits what is queued, and only then yields
//! the thread to glommio. A round trip of one message went from 12 system calls a hop to 2.
//!
//! # A core that expects an arrival looks for it before it sleeps
//!
//! Sleeping and being woken costs a core some 20 us of CPU time on a virtual machine, and costs its
//! clients the same in latency. A core whose last sleep was shorter than 80 us therefore polls the ring
//! and the mesh, without a system call, for up to 40 us: as long as going to sleep could have taken.
//! After one poll without a result the core sleeps until arrivals come in quick succession again.
//! Without traffic polling costs nothing, as the promise "idle costs nothing" requires. A single
//! publisher at 1,000 to 20,000 messages a second cost up to 1.6 times the CPU time here, at 30,000 to
//! 60,000 twice, for 0.6 to 0.75 of the median latency; round trips one after the other took 0.4 of the
//! time for the same CPU time; loads that keep the core busy did not change. `server.busy_poll_us` sets
//! the time, 0 turns polling off.
//!
//! # A mesh message per turn, a wake-up per sleeper
//!
//! Everything that a core has for another core in one turn travels as one mesh message, so channels
//! count turns. A core is woken only if it announced that it sleeps. Both sides have a full fence
//! between what they write and what they read, so one of them sees the other.
//!
//! # Core 0 accepts
//!
//! `SO_REUSEPORT` distributes connections by a hash of addresses, which is uneven with few connections.
//! So one core accepts and hands each socket to the core with the fewest connections.
//!
//! # Closing lingers
//!
//! When a socket with unread bytes is closed, the kernel sends a reset, which can overtake the last
//! ERROR. So the broker shuts the write side, reads and discards what the peer still sends, and closes
//! when the peer does, after [`LINGER_MS`](crate::limits::LINGER_MS) at the latest.
//!
//! # The admin pages have a thread of their own
//!
//! axum and tokio serve metrics, health checks, the API and the dashboard on one ordinary thread that is
//! not pinned. Each core increments counters that only this core writes; the pages read them. A slow
//! scrape costs no message anything.
//!
//! # Lists are asked of the cores, a slice per turn
//!
//! Only a core may read its connections, subscriptions and topics. The admin thread therefore sends a
//! question, and the core answers between turns: at most 512 places per turn, of which it collects the
//! wanted rows only. One question over a million topics is some 2,000 such steps, each as long as a few
//! messages take, and no message waits for more than one step. Publishing copies for readers would make
//! every message more expensive; locks would make cores wait for readers. `/healthz` is real for the
//! same reason: a core that runs no turns gives no answer.
//!
//! # Latency is counted when the turn is over
//!
//! The histogram `accept_to_send` runs from the turn in which a message arrived, on any core, to the
//! turn after the one that sent it: the kernel copies what is sent when a turn ends, and the next
//! reading of the clock is the first that includes the copy. Three cheaper readings are wrong: within
//! one turn the latency would be 0, at the gathering the copy would be missing, and at the completion of
//! the send a slow client's network would be included. The histogram costs a few nanoseconds per slice
//! and connection, and no extra reading of the clock.
//!
//! # Single subscriptions are shown by rank
//!
//! Labels with the name of a client or a pattern would make as many series as there ever were clients.
//! So Prometheus gets the worst ten by lag, by bytes and by losses, with the label `rank`.
//! `/api/v1/subscriptions`, the dashboard and `blipmq top` name these subscriptions.
//!
//! # An idle broker can look like iowait
//!
//! Some kernels count a thread that waits in io_uring as waiting for a disk. A sleeping executor then
//! shows as iowait in `top`, though other processes can use the CPU. The other columns of `top`, or
//! `/proc/<pid>/stat`, show that nothing runs.
