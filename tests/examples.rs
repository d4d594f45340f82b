//! The programs in examples/, run against the real broker as a reader of them would.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use blipmq_client::{Client, PublishOptions};
use support::authority::{Authority, server_config};
use support::running::{Broker, Running, TempFile, blipmq};
use support::tls_proxy::Proxy;

/// An example, built from its present source: `cargo test --test examples` alone builds none.
fn example(name: &str) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // Of target/debug/deps/examples-0123.
        let test = std::env::current_exe().expect("a test has a file");
        let profile_folder = test.parent().and_then(Path::parent).expect("the folder of a profile");
        let profile = match profile_folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            Some(profile) => profile,
            None => panic!("{} is not where cargo puts tests", test.display()),
        };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--examples", "--profile", profile, "--target-dir"])
            .arg(profile_folder.parent().expect("the folder of all profiles"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo starts");
        assert!(status.success(), "the examples do not build");
        profile_folder.join("examples")
    });
    let mut command = Command::new(folder.join(name));
    command.stdin(Stdio::null());
    command
}

/// What an example that ends well wrote to stdout.
fn output(mut command: Command) -> String {
    let output = command.output().expect("the example starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("examples write UTF-8")
}

fn broker() -> Broker {
    broker_with(&[])
}

fn broker_with(more: &[&str]) -> Broker {
    let ports = ["--bind", "--nats-bind", "--metrics-bind"].map(|key| [key, "127.0.0.1:0"]);
    Broker::from_command(blipmq(&[ports.as_flattened(), more].concat()))
}

#[test]
fn publish_learns_the_sequence_of_each_confirmed_message() {
    let broker = broker();
    let mut command = example("publish");
    command.args(["orders.it", &broker.server()]);
    let mut expected = vec![
        "the broker accepted 100 messages".to_owned(),
        "order 102 is message 102 of orders.it".to_owned(),
    ];
    expected.extend((103..=110).map(|number| format!("confirmed: message {number}")));
    assert_eq!(output(command).lines().collect::<Vec<_>>(), expected);
}

/// Goal: `subscribe` accounts for every message, those that it missed included.
/// Method: the broker retains few messages of a topic, so the first ones are gone.
#[test]
fn subscribe_prints_each_message_or_the_gap_that_it_is_in() {
    const MESSAGES: u64 = 20;
    let config = TempFile::new("retains-few.toml", b"[queues]\ntopic_capacity = 4\n");
    let broker = broker_with(&["--config", config.path()]);
    let client = Client::connect(&broker.server()).expect("the broker is ready");
    let topic = client.topic("orders.it").expect("a good topic");
    for number in 1..=MESSAGES {
        topic
            .publish_acked(format!("order {number}"), PublishOptions::new())
            .expect("it is accepted");
    }
    let mut command = example("subscribe");
    command.args(["orders.*", &broker.server(), &MESSAGES.to_string()]);
    let text = output(command);
    let lines: Vec<_> = text.lines().collect();
    let (gap, messages) = lines.split_first().expect("a gap comes first");
    let missed = MESSAGES - messages.len() as u64;
    assert!(missed > 0 && messages.len() >= 4, "{text}");
    assert_eq!(*gap, format!("orders.it 1 to {missed} missed: no longer kept"));
    for (line, number) in messages.iter().zip(missed + 1..) {
        assert_eq!(*line, format!("orders.it {number}: order {number}"));
    }
}

#[test]
fn tls_sends_itself_a_message_and_says_why_an_untrusted_server_is_refused() {
    let broker = broker();
    let authority = Authority::new("Test CA");
    let config = server_config(&authority.server(&["127.0.0.1"]), None, &[b"blip/1"]);
    let proxy = Proxy::start(config, &broker.server());
    let mut command = example("tls");
    command.args([&proxy.addr, authority.file.path()]);
    assert_eq!(output(command), "greetings.tls: nobody on the way can read this\n");
    let mut command = example("tls");
    let other = Authority::new("Other CA");
    let refused = command.args([&proxy.addr, other.file.path()]).output().expect("it starts");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("does not trust"), "{text}");
}

#[test]
fn request_reply_gets_each_reply_and_reports_that_nobody_replies() {
    let broker = broker();
    let mut command = example("request_reply");
    command.arg(broker.server());
    let expected =
        "espresso: 3.20\ncappuccino: 4.10\ntea: not on the menu\nnobody replies to weather.get\n";
    assert_eq!(output(command), expected);
}

#[test]
fn tokio_service_replies_until_the_broker_stops() {
    let broker = broker();
    let mut command = example("tokio_service");
    command.arg(broker.server()).stdout(Stdio::piped());
    let mut service = Running::start(command);
    let mut stdout = BufReader::new(service.child.stdout.take().expect("it is piped")).lines();
    let mut next_line = || stdout.next().expect("a further line").expect("UTF-8");
    assert_eq!(next_line(), "ready");
    let client = Client::connect(&broker.server()).expect("the broker is ready");
    for word in ["espresso", ""] {
        let reply = client.request("upper.case", word, Duration::from_secs(60)).expect("a reply");
        assert_eq!(reply.payload, word.to_uppercase());
    }
    client.close().expect("the connection holds");
    broker.stop();
    let end = next_line();
    assert!(end.starts_with("the broker closed the connection after saying goodbye"), "{end}");
    assert!(service.wait().success());
}

#[test]
fn broker_in_a_test_starts_a_broker_of_its_own_and_ends_it() {
    let mut command = example("broker_in_a_test");
    command.env("BLIPMQ_BIN", env!("CARGO_BIN_EXE_blipmq"));
    let text = output(command);
    let addr = text.trim_end().strip_prefix("the total went through the broker on ");
    let addr = addr.unwrap_or_else(|| panic!("no address in {text}"));
    // Not only whether the port is closed: the kernel may close it a moment after the process ends.
    assert!(Client::connect(addr).is_err(), "a broker is left behind on {addr}");
}
