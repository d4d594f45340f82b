//! Clients that vanish at any moment, by reset, by close or by kill -9, beside a pair that works.

use std::io::Write;
use std::process::Stdio;

use blipmq::protocol::SubscriptionId;
use blipmq::protocol::decode::Subscribe;

use super::on_one_and_two_cores;
use crate::hostile::Witness;
use crate::support::running::{Broker, Running, TempFile, blipmq};
use crate::support::wire::Wire;
use crate::support::written::{encode_messages, wanting};

on_one_and_two_cores! {
    connections_that_vanish_at_random_disturb_no_other_client,
    processes_killed_at_random_disturb_no_other_client,
}

/// Pseudo-random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A client that is reading or writing when it vanishes.
fn busy_client(broker: &Broker, random: &mut Random) -> Wire {
    let mut wire = match random.below(2) {
        0 => Wire::narrow(broker.addr).welcomed(),
        _ => Wire::connect(broker.addr),
    };
    let noise = ["noise.a", "noise.b", "noise.c"];
    for number in 0..random.below(4) {
        let pattern = ["noise.*", "noise.a", "noise.b", ">"][random.below(4) as usize];
        let is_member = random.below(3) == 0;
        // Subscribers with block use other topics than the pair, which would rightly wait for them.
        let policies: &[u8] = match pattern {
            ">" => &[0, 1, 2, 5],
            _ if is_member => &[0, 1, 2, 5],
            _ => &[0, 1, 2, 3, 4, 5],
        };
        let subscribe = Subscribe {
            overflow: policies[random.below(policies.len() as u64) as usize],
            start: if is_member { 0 } else { random.below(3) as u8 },
            start_argument: random.below(500),
            capacity: random.below(3) as u32 * 30,
            group: if is_member { "band" } else { "" },
            ..wanting(number as u32 + 1, pattern)
        };
        wire.send(|out| blipmq::protocol::encode::subscribe(out, &subscribe));
    }
    for number in 0..random.below(3) {
        let request = number as u32 + 1;
        let (frames, len) = (random.below(60), 1 + random.below(5_000) as usize);
        let mut out = Vec::new();
        let topic = noise[random.below(3) as usize];
        blipmq::protocol::encode::open(&mut out, blipmq::protocol::RequestId(request), topic);
        for _ in 0..frames {
            encode_messages(&mut out, 0x8000_0000 | request, 0, &[&vec![7; len]]);
        }
        if random.below(2) == 0 {
            // The connection ends within a frame.
            out.truncate(out.len() - 1);
        }
        // A publisher to a topic that another client blocks is not read, so it must not wait either.
        wire.stream.set_nonblocking(true).expect("a socket option");
        let _ = wire.stream.write(&out);
        wire.stream.set_nonblocking(false).expect("a socket option");
    }
    if random.below(4) == 0 {
        let unsubscribe = SubscriptionId(1);
        wire.stream.set_nonblocking(true).expect("a socket option");
        let mut out = Vec::new();
        blipmq::protocol::encode::unsubscribe(&mut out, unsubscribe);
        let _ = wire.stream.write(&out);
    }
    wire
}

/// Method: up to twenty clients with all policies, starts and groups; each round one more
/// connects and a random one vanishes, by reset or by close, in any state.
fn connections_that_vanish_at_random_disturb_no_other_client(cores: &str) {
    const ROUNDS: usize = 600;
    let broker = Broker::start_with(cores, "[queues]\nblock_timeout_ms = 200\n");
    let mut witness = Witness::new(&broker);
    let mut random = Random(0x5eed);
    let mut clients: Vec<Wire> = Vec::new();
    for _ in 0..ROUNDS {
        clients.push(busy_client(&broker, &mut random));
        witness.works();
        if clients.len() > 20 {
            let client = clients.swap_remove(random.below(20) as usize);
            match random.below(2) {
                0 => client.reset(),
                _ => drop(client),
            }
        }
    }
    drop(clients);
    witness.works();
    broker.wait_for_metric("blipmq_connections", "", |open| open == 2);
    broker.wait_for_metric("blipmq_subscriptions", "", |left| left == 1);
    witness.works();
    drop(witness);
    broker.stop();
}

fn processes_killed_at_random_disturb_no_other_client(cores: &str) {
    const PROCESSES: usize = 24;
    let broker = Broker::start(cores);
    let server = broker.server();
    let mut witness = Witness::new(&broker);
    let mut random = Random(0xdead);
    let text = TempFile::new("lines", "a line of the flood\n".repeat(400_000).as_bytes());
    let mut running: Vec<Running> = Vec::new();
    for number in 0..PROCESSES {
        let mut command = match number % 2 {
            0 => blipmq(&["sub", "flood.>", "--server", &server]),
            _ => {
                let mut command = blipmq(&["pub", "flood.it", "--server", &server]);
                command.stdin(std::fs::File::open(&text.0).expect("a written file"));
                command
            }
        };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        running.push(Running::start(command));
        for _ in 0..1 + random.below(20) {
            witness.works();
        }
        if running.len() > 4 {
            // Dropping the process is kill -9.
            drop(running.swap_remove(random.below(4) as usize));
        }
    }
    drop(running);
    broker.wait_for_metric("blipmq_connections", "", |open| open == 2);
    broker.wait_for_metric("blipmq_subscriptions", "", |left| left == 1);
    witness.works();
    drop(witness);
    broker.stop();
}
