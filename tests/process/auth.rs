//! Credentials and permissions: what users of the command line and of the client see of them.
//!
//! What is answered frame by frame is in `vectors/auth.txt`.

use std::process::{Output, Stdio};

use blipmq_client::{ClientError, ClientOptions, Event, SubscribeOptions};

use crate::on_one_and_two_cores;
use crate::support::running::{Broker, Running, TempFile, blipmq, cores};

on_one_and_two_cores!(
    users_reach_what_they_may_and_are_told_what_they_may_not,
    a_token_lets_in_whoever_has_it,
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

fn users_reach_what_they_may_and_are_told_what_they_may_not(cores: &str) {
    let broker = Broker::start_with(cores, USERS);
    let addr = broker.server();
    let eu = ClientOptions::new().user("eu", "pw-eu").connect(&addr).expect("it is right");
    let admin = ClientOptions::new().user("admin", "pw-admin").connect(&addr).expect("it is right");
    eu.subscribe("news.>", SubscribeOptions::default()).expect("it is allowed");
    for topic in ["news.secret", "news.open"] {
        admin.topic(topic).expect("it is allowed").publish(topic).expect("it is allowed");
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
    eu.topic("eu.a").expect("it is allowed").publish(b"x").expect("it is allowed");
    eu.flush().expect("nothing is refused");
    eu.topic("us.a").expect("refusals come later").publish(b"x").expect("refusals come later");
    let (code, text) = refused(eu.flush().expect_err("it is not allowed"));
    assert_eq!(code, 4030);
    assert!(text.contains("us.a") && text.contains("publish"), "{text}");
    drop((eu, admin));
    broker.stop();
}

fn a_token_lets_in_whoever_has_it(cores: &str) {
    let broker = Broker::start_with(cores, "[auth]\ntoken = \"t0ken\"\n");
    let addr = broker.server();
    ClientOptions::new().token("t0ken").connect(&addr).expect("it is right");
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
fn the_command_line_takes_credentials_from_flags_and_environment() {
    let broker = Broker::start_with(&cores(1).expect("there is a core"), USERS);
    let addr = broker.server();
    let words = ["sub", "news.>", "--count", "1", "--server", &addr];
    let mut command = blipmq(&words);
    command.args(["--user", "eu", "--password", "pw-eu"]).stdout(Stdio::piped());
    let mut subscriber = Running::start(command);
    broker.wait_for_metric("blipmq_subscriptions", "", |subscriptions| subscriptions == 1);
    let mut publish = blipmq(&["pub", "news.open", "hello", "--server", &addr]);
    publish.env("BLIPMQ_USER", "admin").env("BLIPMQ_PASSWORD", "pw-admin");
    assert!(publish.status().expect("it starts").success());
    assert!(subscriber.wait().success());

    let failure = |mut command: std::process::Command| -> String {
        let Output { status, stderr, .. } = command.output().expect("it starts");
        assert_eq!(status.code(), Some(1));
        String::from_utf8(stderr).expect("its words are UTF-8")
    };
    let told = failure(blipmq(&["pub", "a", "x", "--server", &addr]));
    assert!(told.contains("4010") && told.contains("requires authentication"), "{told}");
    let mut wrong = blipmq(&["pub", "a", "x", "--server", &addr, "--user", "eu"]);
    wrong.env("BLIPMQ_PASSWORD", "wr0ng");
    let told = failure(wrong);
    assert!(told.contains("4010") && !told.contains("wr0ng"), "{told}");
    let mut denied = blipmq(&["pub", "us.a", "x", "--server", &addr]);
    denied.args(["--user", "eu", "--password", "pw-eu"]);
    let told = failure(denied);
    assert!(told.contains("4030") && told.contains("us.a"), "{told}");
    broker.stop();
}

#[test]
fn check_config_shows_users_and_no_password_and_a_broker_refuses_what_is_wrong() {
    let file = TempFile::new("users.toml", USERS.as_bytes());
    let output = blipmq(&["check-config", file.path()]).output().expect("it starts");
    let printed = String::from_utf8(output.stdout).expect("its words are UTF-8");
    assert!(printed.contains("user = \"eu\"\n") && printed.contains("publish = [\"eu.>\"]\n"));
    assert!(!printed.contains("pw-eu") && !printed.contains("pw-admin"), "{printed}");

    let wrong = format!("{USERS}\n[[auth.users]]\nuser = \"us\"\npublish = [\"a..b\"]\n");
    let file = TempFile::new("wrong.toml", wrong.as_bytes());
    let output = blipmq(&["--config", file.path()]).output().expect("it starts");
    let told = String::from_utf8(output.stderr).expect("its words are UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains(":14: [[auth.users]] publish: bad pattern \"a..b\""), "{told}");
}
