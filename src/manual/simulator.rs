//! The simulator: how the promises are tested, and how well.
//!
//! `tests/simulation/` runs whole servers, with several cores each, in one thread and from one seed.
//! `tests/simulation/main.rs` maps questions to files.
//!
//! # What is real, and what is simulated
//!
//! | part | in the simulator |
//! |---|---|
//! | the broker, its turn and its frontends | real |
//! | the relay, `src/server/relay.rs` | real: the same file is compiled into the test |
//! | the driver of `executors`, with accepting, closing, deadlines, sleeping and waking | real |
//! | the channels of the mesh | real; the simulator decides when a message arrives |
//! | the ring, and the kernel below it | simulated: `executors::simulated`, played by the world |
//! | clocks | simulated |
//! | clients | simulated: they write bytes, and a checker reads what comes |
//!
//! A core is stepped only while it is awake, and only a completion or its waker wakes it. So a wake-up
//! that is missing shows as a world that never comes to rest.
//!
//! # What happens in a world
//!
//! - One to four cores. A mesh that delivers late and whose lanes fill up, but never reorders.
//! - Receives bring any number of bytes, end for no reason or for want of a buffer, and go on. Cores have
//!   1, 2 or 32 receive buffers of 300 bytes or 64 KiB, so connections starve for one.
//! - Sends are taken in pieces, end early, complete late, or fail. Socket buffers have from one byte on.
//! - Cancels are carried out late, before or after what they cancel, or race with an arrival.
//! - Connections stall, are reset, vanish, shut one half, come back, and send what the broker must refuse.
//! - Clients hang for longer than they may be silent, and are closed; the others answer PING.
//! - Publishers with and without ACK, TTL and CRC, one or several messages per frame, under real and
//!   provisional ids; subscribers with every overflow policy, every start, and groups.
//! - NATS clients, in worlds of their own with a few BLIP/1 clients: queue groups, headers, replies,
//!   requests without responders, PINGs, unsubscriptions after so many messages.
//! - Tight bounds: queues, topics, subscriptions, connections, logs, the memory budget, timeouts.
//! - Monotonic time that leaps, wall time that jumps in both directions.
//! - A stop in the middle, or the end of all connections.
//!
//! # What is checked
//!
//! Each frame that a client reads is compared with what was published and accepted: order, no unreported
//! gap and no gap with a reason that the policy does not allow, no duplicates, ACKs, expiry, retained
//! messages complete and before live ones, each message of a group to one member. When the faults stop,
//! everything has to come to rest: no connection stays paused, a stop ends, queues account for all they
//! took, and the memory budget is back at the size of the logs, then at 0. After every turn the broker
//! asserts what its files state under "Always true". The ring asserts its own half: one send per socket,
//! a slot is freed only after its last completion.
//!
//! # How to run the simulator, and replay a seed
//!
//! ```text
//! cargo test --test simulation                      300 seeds of each kind, and the scenarios
//! BLIPMQ_SIM_SEEDS=100000 cargo test --test simulation every_promise         more seeds of both kinds
//! BLIPMQ_SIM_FIRST=300 BLIPMQ_SIM_SEEDS=600 cargo test --test simulation every_promise   from 300 on
//!
//! one seed, with its steps:
//! BLIPMQ_SEED=0x5eed cargo test --test simulation -- --nocapture every_promise_holds
//! BLIPMQ_NATS_SEED=0x5eed cargo test --test simulation -- --nocapture every_promise_to_nats
//!
//! a digest of each world:
//! BLIPMQ_SIM_DIGESTS=1 cargo test --test simulation -- --nocapture every_promise
//! ```
//!
//! A failure prints the line that runs its seed again. A digest covers every byte that clients were sent,
//! and is printed with the ticks and turns of its world. A change that is meant to change nothing leaves
//! the digests of all seeds as they are.
//!
//! `.ci/run` runs the seeds of the test and 600 more of each kind; `.ci/long` runs 2,000 more and 50,000
//! from a fresh seed on, which it prints. 3,000 worlds of BLIP/1 clients take some 20 s of CPU time.
//!
//! # Does it find bugs?
//!
//! Each of these bugs was planted alone, at one place. The tables have the first seed from 0 on that
//! failed, of worlds with BLIP/1 clients or, where the table says so, with NATS clients, and the CPU time
//! until then. What 2,000 worlds of each kind do not find, a scenario does. In the rooms of the broker:
//!
//! | file | planted | seed | time |
//! |---|---|---|---|
//! | `topics/mod.rs` | an ACK has the first sequence of its batch, not of its frame | 0 | 0.01 s |
//! | `delivery/overflow.rs` | `block` drops what arrives when the queue is full | 19 | 0.04 s |
//! | `delivery/block.rs` | a queue that is half empty does not release publishers | 2 | 0.02 s |
//! | `delivery/queue/conflate.rs` | conflation forgets what lay between two messages | 0 | 0.01 s |
//! | `topics/log.rs` | one retained message too few is replayed | 2 | 0.03 s |
//! | `delivery/fan_out.rs` | live messages do not reach a subscription that is still joining | 20 | 0.04 s |
//! | `delivery/replay.rs` | a gap before the oldest retained message is not reported | 6 | 0.04 s |
//! | `delivery/members.rs` | a member that leaves does not hand back what it was dealt | 0 | 0.01 s |
//! | `delivery/deal.rs` | a message dealt to a member on another core is dealt to the next member too | 0 | 0.01 s |
//! | `topics/retained.rs` | idle topics retain their messages | 0 | 0.01 s |
//! | `frontends/blip/publish.rs` | a publish that is refused for lack of memory is published all the same | 12 | 0.03 s |
//! | `delivery/reach.rs` | of two matching subscriptions both get the message | 1 | 0.01 s |
//! | `delivery/announcements.rs` | a subscription is active after the first of several answers | 161 | 1.23 s |
//! | `delivery/pull.rs` | an expired message is sent | 2 | 0.02 s |
//! | `turn/drain.rs` | a stop does not wait until other cores report that they take nothing more | 50 | 0.23 s |
//! | `delivery/deal.rs` | members are dealt handed-back messages before they know that they are members | 1388 | 9.15 s |
//! | `topics/mod.rs` | one core that no longer blocks releases all publishers of the topic | 194 | 1.31 s |
//! | `delivery/block.rs` | `block_timeout` never disconnects a subscriber | 1 | 0.16 s |
//!
//! In replays that are answered in several parts:
//!
//! | file | planted | seed | time |
//! |---|---|---|---|
//! | `topics/replay.rs` | the topic that a part of an answer ended before counts as answered | 252 | 1.72 s |
//! | `topics/replay.rs` | the last topic of a part of an answer does not count as answered | 148 | 1.12 s |
//! | `topics/replay.rs` | the next part of an answer begins with the last topic once more | 1 | 0.29 s |
//! | `topics/replay.rs` | the next part of an answer skips a topic | 1 | 0.02 s |
//! | `topics/replay.rs` | the walk through the next shard begins where the one before ended | 2 | 0.02 s |
//! | `delivery/subscriptions.rs` | the progress of an earlier part stays in force | 56 | 0.37 s |
//! | `topics/replay.rs` | a walk that goes on is forgotten | 4 | 0.03 s |
//! | `delivery/subscriptions.rs` | a part of an answer counts as a whole one | 1 | 0.01 s |
//! | `topics/replay.rs` | a subscription is answered though earlier ones of its connection are not yet | 521 | 2.93 s |
//!
//! The last one was a bug of the broker: the first worlds with such replays found it.
//!
//! In the turn:
//!
//! | file | planted | seed | time |
//! |---|---|---|---|
//! | `turn/effects.rs` | effects are carried out in reverse order | 1 | 0.01 s |
//! | `turn/effects.rs` | what follows from an effect comes behind all others | 1326 | 8.34 s |
//! | `turn/mod.rs` | no turn follows one whose connections turned out to have nothing to send | NATS 580 | 6.41 s |
//! | `turn/input.rs` | a connection whose reason to be held is over is not read again | 1 | 0.01 s |
//! | `turn/mod.rs` | frames left for a later turn do not count as work | 72 | 0.50 s |
//! | `turn/mod.rs` | requests of other cores are served before deliveries | 283 | 1.86 s |
//! | `turn/mod.rs` | replays under way do not count as work | 41 | 0.19 s |
//! | `turn/mod.rs` | mesh messages that were received and not served do not count as work | 0 | 0.01 s |
//! | `turn/mod.rs` | a turn that took in nothing does not write to the mesh | 0 | 0.01 s |
//! | `turn/mod.rs` | fences that a turn began are not asked for | NATS 0 | 0.01 s |
//! | `turn/input.rs` | a connection held for a full mesh is released at once | scenario | |
//! | `turn/mod.rs` | what waited for a place in a lane does not count as work | scenario | |
//! | `turn/drain.rs` | a stop does not wait for replays under way | scenario | |
//! | `turn/input.rs` | a connection that was held is not closed though its client has gone | 485 | 2.66 s |
//!
//! In the driver, its sockets and the seam to the ring:
//!
//! | file | planted | seed | time |
//! |---|---|---|---|
//! | `io.rs` | a send of which the kernel took a part counts as complete | 0 | 0.01 s |
//! | `driver/arrivals.rs` | a receive that was cancelled is not asked for again | 0 | 0.05 s |
//! | `driver/arrivals.rs` | a connection that found no buffer is never read again | 0 | 0.07 s |
//! | `io.rs` | a connection is removed before its arrivals are handed on | 22 | 0.04 s |
//! | `io.rs` | a slot is free before its last completion | 1 | 0.01 s |
//! | `io.rs` | the last bytes go out before the send in flight is complete | 0 | 0.01 s |
//! | `driver/arrivals.rs` | the end of a connection overtakes what arrived before it | 0 | 0.01 s |
//! | `io.rs` | a paused connection is received on | NATS 0 | 0.01 s |
//! | `driver.rs` | a deadline that moves nearer does not move the timeout | NATS 1 | 0.03 s |
//! | `driver.rs` | a core does not look once more before it sleeps | 0 | 0.01 s |
//! | `mesh.rs` | the reader of a full lane does not wake its sender | NATS 30 | 0.24 s |
//! | `io.rs` | the write side is not shut | 0 | 0.01 s |
//! | `io.rs` | a connection that is closed while it is paused is not read | 196 | 1.34 s |
//! | `driver.rs` | a send that fails does not end its connection | 0 | 0.01 s |
//! | `driver/arrivals.rs` | arrivals of a closing connection keep their buffers | 1 | 0.13 s |
//! | `driver.rs` | arrivals that wait do not count as work | 1500 | 9.17 s |
//! | `ring/send.rs` | a send cut within a range goes on with the next range | 0 | 0.01 s |
//! | `driver/arrivals.rs` | starved connections are fed beyond the buffers there are, and the rest is forgotten | 0 | 0.06 s |
//! | `driver/arrivals.rs` | a receive that ended behind a full buffer is not asked for again | 0 | 0.07 s |
//! | `io.rs` | what is sent last is forgotten when a send is in flight | 0 | 0.01 s |
//! | `driver.rs` | a connection that is released is not reported as closed until something else arrives | NATS 441 | 4.94 s |
//! | `driver.rs` | the stop does not close the listeners | a test of `executors` | |
//! | `io.rs` | a connection resumed while its cancel is under way is asked for twice | 1 | 0.01 s |
//!
//! Several of these bugs survived at first, and each showed what was missing:
//!
//! | survived, because | now |
//! |---|---|
//! | a turn looks at 512 topics for a replay, and worlds have 8: no replay had several parts | the plan chooses 1, 2, 3 or 512 |
//! | no check compared which publishers wait on which core | while nothing is under way, publishers to a topic wait on all cores or on none |
//! | no check looked at the input of a paused connection | a core that sleeps receives on no such connection |
//! | a later deadline hid a wake-up that was missing | no core falls asleep over mesh messages that it wants |
//! | the receive of a broken connection failed as well | of every second connection only the sends fail |
//! | a lane is never full for long enough to read much beyond it | a scenario publishes 20 MiB against one |
//! | a subscription that was not confirmed before a stop is owed nothing | a scenario stops in the middle of a replay |
//!
//! # What it does not cover
//!
//! - The kernel, the data ring and threads: `executors/tests/` and `tests/process/` test them with real
//!   sockets. `executors/tests/simulated/main.rs` has claims about the driver alone.
//! - The rest of `src/server/`: admin pages, reload, signals.
//! - Authentication, and BLIP/1 publishers with headers.
//! - In random worlds, the exact moment at which a subscriber with `disconnect` is disconnected, and how
//!   far a blocking queue exceeds its bound: scenarios check those.
//! - Messages that were sent to a connection that then broke: they count as delivered, and a group does
//!   not deal them again.
