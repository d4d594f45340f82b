//! Credentials and permissions, as users of the command line and of the client see them.
//!
//! The answers frame by frame are in `vectors/auth.txt`.

use std::process::{Output, Stdio};

use blipmq_client::{ClientError, ClientOptions, Event, SubscribeOptions};

use crate::on_one_and_two_cores;
use crate::support::running::{Broker, Running, TempFile, blipmq, cores};

on_one_and_two_cores!(
    users_reach_their_topics_and_are_refused_others,
    a_client_with_the_token_is_admitted,
);

const USERS: &str = "\
[[auth.users]]
user = \"admin\"
password = \"pw-admin\"

[[auth.users]]
user = \"eu\"
password = \"pw-eu\"
publish = [\"eu.>\"]
subscribe = [\"eu.>\", \"news.>\"]
subscribe_deny = [\"news.secret\"]
";

fn refused(error: ClientError) -> (u16, String) {
    match error {
        ClientError::EndedByServer(error)
        | ClientError::RequestRefused(error)
        | ClientError::PatternRefused { error, .. }
        | ClientError::TopicRefused { error, .. } => (error.code, error.text),
        other => panic!("{other}"),
    }
}

fn users_reach_their_topics_and_are_refused_others(cores: &str) {
    let broker = Broker::start_with(cores, USERS);
    let addr = broker.server();
    let eu = ClientOptions::new().user("eu", "pw-eu").connect(&addr).expect("valid credentials");
    let admin =
        ClientOptions::new().user("admin", "pw-admin").connect(&addr).expect("valid credentials");
    eu.subscribe("news.>", SubscribeOptions::default()).expect("permitted");
    for topic in ["news.secret", "news.open"] {
        admin.topic(topic).expect("permitted").publish(topic).expect("permitted");
    }
    match eu.recv().expect("one comes") {
        Event::Messages(messages) => {
            let topics: Vec<_> = messages.iter().map(|message| message.topic.to_string()).collect();
            assert_eq!(topics, ["news.open"]);
        }
        other => panic!("{other:?}"),
    }
    let denied = eu.subscribe("us.>", SubscribeOptions::default()).expect_err("it is not allowed");
    let (code, text) = refused(denied);
    assert_eq!(code, 4030);
    assert!(text.contains("us.>") && text.contains("subscribe"), "{text}");
    eu.topic("eu.a").expect("permitted").publish(b"x").expect("permitted");
    eu.flush().expect("nothing is refused");
    let us = eu.topic("us.a").expect("refusals come later");
    // The refusal of the topic may come before the message or behind it.
    let denied = us.publish(b"x").and_then(|()| eu.flush()).expect_err("it is not allowed");
    let (code, text) = refused(denied);
    assert_eq!(code, 4030);
    assert!(text.contains("us.a") && text.contains("publish"), "{text}");
    drop((us, eu, admin));
    broker.stop();
}

fn a_client_with_the_token_is_admitted(cores: &str) {
    let broker = Broker::start_with(cores, "[auth]\ntoken = \"t0ken\"\n");
    let addr = broker.server();
    ClientOptions::new().token("t0ken").connect(&addr).expect("valid credentials");
    let options = [
        ClientOptions::new(),
        ClientOptions::new().token("t0ke"),
        ClientOptions::new().user("t0ken", ""),
        ClientOptions::new().user("", "t0ken"),
    ];
    for options in options {
        let (code, text) = refused(options.connect(&addr).expect_err("it is wrong"));
        assert_eq!(code, 4010);
        assert!(text.contains("[auth]") && !text.contains("t0ken"), "{text}");
    }
    let stderr = broker.stop();
    assert!(!stderr.contains("t0ken"), "{stderr}");
}

#[test]
fn commands_take_credentials_from_flags_and_the_environment() {
    let broker = Broker::start_with(&cores(1).expect("there is a core"), USERS);
    let addr = broker.server();
    let words = ["sub", "news.>", "--count", "1", "--server", &addr];
    let mut command = blipmq(&words);
    command.args(["--user", "eu", "--password", "pw-eu"]).stdout(Stdio::piped());
    let mut subscriber = Running::start(command);
    broker.wait_for_metric("blipmq_subscriptions", "", |subscriptions| subscriptions == 1);
    let mut publish = blipmq(&["pub", "news.open", "hello", "--server", &addr]);
    publish.env("BLIPMQ_USER", "admin").env("BLIPMQ_PASSWORD", "pw-admin");
    assert!(publish.status().expect("the process starts").success());
    assert!(subscriber.wait().success());

    let failure = |mut command: std::process::Command| -> String {
        let Output { status, stderr, .. } = command.output().expect("the process starts");
        assert_eq!(status.code(), Some(1));
        String::from_utf8(stderr).expect("UTF-8 output")
    };
    let error = failure(blipmq(&["pub", "a", "x", "--server", &addr]));
    assert!(error.contains("4010") && error.contains("requires authentication"), "{error}");
    let mut wrong = blipmq(&["pub", "a", "x", "--server", &addr, "--user", "eu"]);
    wrong.env("BLIPMQ_PASSWORD", "wr0ng");
    let error = failure(wrong);
    assert!(error.contains("4010") && !error.contains("wr0ng"), "{error}");
    let mut denied = blipmq(&["pub", "us.a", "x", "--server", &addr]);
    denied.args(["--user", "eu", "--password", "pw-eu"]);
    let error = failure(denied);
    assert!(error.contains("4030") && error.contains("us.a"), "{error}");
    broker.stop();
}

#[test]
fn check_config_shows_users_without_passwords_and_a_broker_refuses_a_wrong_file() {
    let file = TempFile::new("users.toml", USERS.as_bytes());
    let output = blipmq(&["check-config", file.path()]).output().expect("the process starts");
    let printed = String::from_utf8(output.stdout).expect("UTF-8 output");
    assert!(printed.contains("user = \"eu\"\n") && printed.contains("publish = [\"eu.>\"]\n"));
    assert!(!printed.contains("pw-eu") && !printed.contains("pw-admin"), "{printed}");

    let wrong = format!("{USERS}\n[[auth.users]]\nuser = \"us\"\npublish = [\"a..b\"]\n");
    let file = TempFile::new("wrong.toml", wrong.as_bytes());
    let output = blipmq(&["--config", file.path()]).output().expect("the process starts");
    let error = String::from_utf8(output.stderr).expect("UTF-8 output");
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(":14: [[auth.users]] publish: bad pattern \"a..b\""), "{error}");
}
