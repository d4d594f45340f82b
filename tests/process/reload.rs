//! SIGHUP: keys that are applied, keys that need a restart, and files that are refused.

use serde_json::{Value, json};

use blipmq::protocol::decode::ServerFrame;

use super::on_one_and_two_cores;
use crate::support::nats::Nats;
use crate::support::running::{Broker, Running, TempFile, blipmq};
use crate::support::wire::Wire;

on_one_and_two_cores! {
    a_valid_file_is_applied_and_keys_that_need_a_restart_are_named,
    a_file_with_an_error_changes_nothing,
    nobody_is_shown_a_secret_of_a_broken_file,
    existing_subscriptions_keep_their_policy_and_later_ones_get_the_new_policy,
    connections_of_removed_or_changed_users_are_closed_and_others_stay,
    connections_without_a_login_are_closed_when_a_login_becomes_required,
    the_limit_of_connections_can_be_raised_and_lowered,
    a_reload_without_a_file_changes_nothing,
    a_reload_during_the_stop_is_ignored,
    the_reload_command_prints_changes_and_errors,
    the_reload_command_signals_no_process_that_is_not_a_broker,
    the_reload_command_signals_a_broker_whose_program_has_another_name,
}

/// A broker and its configuration file, which a test can rewrite.
pub struct Reloadable {
    pub broker: Broker,
    file: TempFile,
}

impl Reloadable {
    pub fn start(cores: &str, config: &str) -> Reloadable {
        let file = TempFile::new("reload.toml", config.as_bytes());
        let mut command = blipmq(&["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"]);
        command.args(["--metrics-bind", "127.0.0.1:0", "--cores", cores, "--config", file.path()]);
        Reloadable { broker: Broker::from_command(command), file }
    }

    pub fn reload(&self, config: &str) -> Value {
        std::fs::write(&self.file.0, config).expect("our own file");
        reloaded(&self.broker)
    }
}

fn configuration(broker: &Broker) -> Value {
    broker.json("/api/v1/status")["configuration"].clone()
}

/// Sends SIGHUP, waits for the reload, and returns its outcome.
pub fn reloaded(broker: &Broker) -> Value {
    let number = |configuration: &Value| configuration["reloads"].as_u64().expect("a number");
    let before = number(&configuration(broker));
    broker.signal("HUP");
    loop {
        let now = configuration(broker);
        if number(&now) > before {
            assert_eq!(now["last_reload"]["number"], before + 1);
            return now["last_reload"].clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn a_valid_file_is_applied_and_keys_that_need_a_restart_are_named(cores: &str) {
    let Reloadable { broker, file } = &Reloadable::start(cores, "[delivery]\nmax_batch = 9\n");
    let at_start = configuration(broker);
    assert_eq!(at_start["file"], file.path());
    assert_eq!((&at_start["reloads"], &at_start["last_reload"]), (&json!(0), &Value::Null));
    let mut wire = Wire::connect(broker.addr);
    let text = "[delivery]\nmax_batch = 8\nfanout_shards = 5\n[limits]\nmemory_max = 123_456_789\n";
    std::fs::write(&file.0, text).expect("our own file");
    let outcome = reloaded(broker);
    assert_eq!(outcome["outcome"], "applied");
    assert_eq!(outcome["applied"], json!(["delivery.max_batch", "limits.memory_max"]));
    assert_eq!(outcome["needs_restart"], json!(["delivery.fanout_shards"]));
    assert_eq!(outcome["errors"], json!([]));
    let limits = broker.json("/api/v1/status")["limits"].clone();
    let memory = limits.as_array().unwrap().iter().find(|limit| limit["name"] == "memory").unwrap();
    assert_eq!(memory["limit"], 123_456_789);
    // A second reload finds only the key that needs a restart.
    let again = reloaded(broker);
    assert_eq!(
        (&again["applied"], &again["needs_restart"]),
        (&json!([]), &outcome["needs_restart"])
    );
    // Flags override the file, as at the start.
    std::fs::write(&file.0, format!("{text}[server]\nbind_addr = \"127.0.0.1:1\"\n")).unwrap();
    assert_eq!(reloaded(broker)["needs_restart"], json!(["delivery.fanout_shards"]));
    wire.ping();
}

fn a_file_with_an_error_changes_nothing(cores: &str) {
    let reloadable = Reloadable::start(cores, "[limits]\nmax_subscriptions_per_connection = 2\n");
    let broker = &reloadable.broker;
    let may_subscribe = |subscriptions: u32| {
        let mut wire = Wire::connect(broker.addr);
        for subscription in 1..=subscriptions {
            wire.subscribe(subscription, &format!("a.{subscription}"));
        }
        wire.send(|out| {
            crate::support::written::encode_subscribe(out, subscriptions + 1, "one.more", 0, 0);
        });
        match wire.expect().decoded() {
            ServerFrame::Error { code, .. } => assert_eq!(code, 4291),
            other => panic!("{other:?}"),
        }
    };
    may_subscribe(2);
    let wrong = "[limits]\nmax_subscriptions_per_connection = 3\nmax_topcis = 7\n[queues]\n\
                 overflow_policy = \"drop_none\"\n";
    let outcome = reloadable.reload(wrong);
    assert_eq!(outcome["outcome"], "refused");
    assert_eq!((&outcome["applied"], &outcome["needs_restart"]), (&json!([]), &json!([])));
    let errors: Vec<&str> =
        outcome["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect();
    let file = reloadable.file.path();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with(&format!("{file}:3: [limits] max_topcis")), "{errors:?}");
    assert!(errors[1].starts_with(&format!("{file}:5: [queues] overflow_policy")), "{errors:?}");
    may_subscribe(2);
    std::fs::remove_file(&reloadable.file.0).expect("an existing file");
    let outcome = reloaded(broker);
    assert_eq!(outcome["outcome"], "refused");
    assert!(outcome["errors"][0].as_str().unwrap().contains("cannot read configuration"));
    may_subscribe(2);
    assert_eq!(broker.metric("blipmq_config_reloads_total", "outcome=\"refused\""), 2);
    assert!(broker.page().contains("\nblipmq_config_last_reload_successful 0\n"));
    let outcome = reloadable.reload("[limits]\nmax_subscriptions_per_connection = 3\n");
    assert_eq!(outcome["applied"], json!(["limits.max_subscriptions_per_connection"]));
    may_subscribe(3);
    assert_eq!(broker.metric("blipmq_config_reloads_total", "outcome=\"applied\""), 1);
    assert!(broker.page().contains("\nblipmq_config_last_reload_successful 1\n"));
    let Reloadable { broker, .. } = reloadable;
    let stderr = broker.stop();
    assert!(stderr.contains("nothing was changed") && stderr.contains("max_topcis"), "{stderr}");
    assert!(stderr.contains("applied limits.max_subscriptions_per_connection"), "{stderr}");
}

fn nobody_is_shown_a_secret_of_a_broken_file(cores: &str) {
    let reloadable = Reloadable::start(cores, "[delivery]\nmax_batch = 9\n");
    for broken in [
        "[metrics]\ntoken =\n\"s3cret-1\"\n",
        "[metrics]\ntoken =\n[s3cret-1]\n",
        "[metrics]\ntoken = \"\"\"s3cret-1\n",
        "[[auth.users]]\nuser = \"eu\"\npassword =\ns3cret-1 = 5\n",
    ] {
        let outcome = reloadable.reload(broken);
        assert_eq!(outcome["outcome"], "refused", "{broken}");
        let (status, page) = reloadable.broker.get("/api/v1/status");
        assert!(status == 200 && !page.contains("cret-1"), "{broken}\n{page}");
        let (status, stdout, stderr) = reload_command(&reloadable.broker, &[]);
        assert!(status == 1 && stderr.contains("not valid TOML"), "{broken}\n{stderr}");
        let mut shown = stdout + &stderr;
        for words in [&["check-config"][..], &["--cores", cores, "--config"]] {
            let output = blipmq(words).arg(reloadable.file.path()).output().expect("it starts");
            assert_eq!(output.status.code(), Some(1), "{words:?}");
            shown += &String::from_utf8_lossy(&output.stdout);
            shown += &String::from_utf8_lossy(&output.stderr);
        }
        assert!(!shown.contains("cret-1"), "{broken}\n{shown}");
    }
    let log = reloadable.broker.stop();
    assert!(log.contains("not valid TOML") && !log.contains("cret-1"), "{log}");
}

fn existing_subscriptions_keep_their_policy_and_later_ones_get_the_new_policy(cores: &str) {
    let reloadable = Reloadable::start(cores, "[queues]\nsubscriber_capacity = 10\n");
    let broker = &reloadable.broker;
    let mut wire = Wire::connect(broker.addr);
    wire.subscribe(1, "old");
    let outcome =
        reloadable.reload("[queues]\nsubscriber_capacity = 20\noverflow_policy = \"drop_new\"\n");
    assert_eq!(outcome["applied"], json!(["queues.subscriber_capacity", "queues.overflow_policy"]));
    wire.subscribe(2, "new");
    let list = broker.json("/api/v1/subscriptions");
    let mut found: Vec<_> = list["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| [&row["pattern"], &row["overflow"], &row["messages_max"]].map(Value::clone))
        .collect();
    found.sort_by_key(|row| row[0].to_string());
    let expected = [
        [json!("new"), json!("drop_new"), json!(20)],
        [json!("old"), json!("drop_oldest"), json!(10)],
    ];
    assert_eq!(found, expected);
}

fn user(name: &str, password: &str) -> String {
    format!("[[auth.users]]\nuser = \"{name}\"\npassword = \"{password}\"\n")
}

fn connections_of_removed_or_changed_users_are_closed_and_others_stay(cores: &str) {
    use blipmq_client::{ClientError, ClientOptions};
    let users = |eu: &str| format!("{}{}{eu}", user("stays", "1"), user("us", "2"));
    let reloadable = Reloadable::start(cores, &users(&user("eu", "3")));
    let broker = &reloadable.broker;
    let (addr, nats) = (broker.server(), broker.nats.expect("the listener is enabled"));
    let connect =
        |name: &str, password: &str| ClientOptions::new().user(name, password).connect(&addr);
    let connect_nats = |name: &str, password: &str| {
        Nats::connect_as(
            nats,
            &format!(r#"{{"verbose":false,"user":"{name}","pass":"{password}"}}"#),
        )
    };
    let stays = connect("stays", "1").expect("valid credentials");
    let mut stays_nats = connect_nats("stays", "1");
    let eu = connect("eu", "3").expect("valid credentials");
    let mut eu_nats = connect_nats("eu", "3");
    let changed = |password| format!("{}publish = [\"eu.>\"]\n", user("eu", password));
    // Other permissions: the connections stay, and may do less.
    let outcome = reloadable.reload(&users(&changed("3")));
    assert_eq!(outcome["applied"], json!(["auth.users"]));
    eu_nats.ping();
    eu.flush().expect("it is still the same user");
    let us = eu.topic("us.a").expect("refusals come later");
    let published = us.publish(b"x").and_then(|()| eu.flush());
    published.expect_err("it may not publish that any more");
    reloadable.reload(&users(&changed("4")));
    eu_nats.expect_last_error("User Authentication Revoked");
    let ended = std::iter::repeat_with(|| eu.flush()).find_map(|flushed| match flushed {
        Err(ClientError::RequestRefused(_) | ClientError::TopicRefused { .. }) | Ok(()) => None,
        Err(other) => Some(other),
    });
    match ended.expect("it has to prove itself again") {
        ClientError::EndedByServer(error) => {
            assert_eq!(error.code, 4010);
            assert!(error.text.contains("connect again"), "{}", error.text);
        }
        other => panic!("{other}"),
    }
    // The user may connect again, with its new permissions.
    connect("eu", "3").expect_err("that was the password before");
    let eu = connect("eu", "4").expect("valid credentials");
    let us = eu.topic("us.a").expect("refusals come later");
    let published = us.publish(b"x").and_then(|()| eu.flush());
    published.expect_err("it may not publish that any more");
    reloadable.reload(&users(""));
    connect("eu", "4").expect_err("there is no such user any more");
    stays.flush().expect("it was not touched");
    stays_nats.ping();
}

fn connections_without_a_login_are_closed_when_a_login_becomes_required(cores: &str) {
    let reloadable = Reloadable::start(cores, "[logging]\nlevel = \"info\"\n");
    let broker = &reloadable.broker;
    let mut wire = Wire::connect(broker.addr);
    let mut nats = Nats::connect(broker.nats.expect("the listener is enabled"));
    let outcome = reloadable.reload("[auth]\ntoken = \"t0ken\"\n");
    assert_eq!(outcome["applied"], json!(["auth.token"]));
    assert_eq!(wire.expect_fatal(), 4010);
    nats.expect_last_error("User Authentication Revoked");
    let stderr = reloadable.broker.stop();
    assert!(stderr.contains("auth.token") && !stderr.contains("t0ken"), "{stderr}");
}

fn the_limit_of_connections_can_be_raised_and_lowered(cores: &str) {
    let reloadable = Reloadable::start(cores, "[server]\nmax_connections = 1\n");
    let broker = &reloadable.broker;
    let mut first = Wire::connect(broker.addr);
    assert_eq!(Wire::silent(broker.addr).expect_fatal(), 4291);
    broker.wait_for_metric("blipmq_connections", "", |connections| connections == 1);
    let outcome = reloadable.reload("[server]\nmax_connections = 2\n");
    assert_eq!(outcome["applied"], json!(["server.max_connections"]));
    let mut second = Wire::connect(broker.addr);
    assert_eq!(broker.json("/api/v1/status")["limits"][0]["limit"], 2);
    reloadable.reload("[server]\nmax_connections = 1\n");
    first.ping();
    second.ping();
    drop(second);
    broker.wait_for_metric("blipmq_connections", "", |connections| connections == 1);
    assert_eq!(Wire::silent(broker.addr).expect_fatal(), 4291);
}

fn a_reload_without_a_file_changes_nothing(cores: &str) {
    let broker = Broker::start(cores);
    assert_eq!(configuration(&broker)["file"], Value::Null);
    let outcome = reloaded(&broker);
    assert_eq!(outcome["outcome"], "refused");
    assert!(outcome["errors"][0].as_str().unwrap().contains("without --config"), "{outcome}");
    Wire::connect(broker.addr).ping();
    let stderr = broker.stop();
    assert!(stderr.contains("without --config"), "{stderr}");
}

fn a_reload_during_the_stop_is_ignored(cores: &str) {
    let reloadable = Reloadable::start(cores, "[server]\ndrain_timeout_ms = 3_600_000\n");
    let mut stays = Wire::connect(reloadable.broker.addr);
    let mut stalled = Wire::narrow(reloadable.broker.addr).welcomed();
    stalled.subscribe(1, "stuck");
    let (topic, ..) = stays.open(1, "stuck");
    for _ in 0..1_500 {
        stays.publish(topic, &[&[0; 8 * 1_024]]);
    }
    stays.ping();
    reloadable.broker.signal("TERM");
    assert!(matches!(stays.expect().decoded(), ServerFrame::Goodbye { .. }));
    reloadable.broker.signal("HUP");
    drop((stays, stalled));
    let (status, stderr) = reloadable.broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("nothing to apply"), "{stderr}");
}

// --- the command ---

fn reload_command(broker: &Broker, words: &[&str]) -> (i32, String, String) {
    let url = format!("http://{}", broker.metrics.expect("the pages are enabled"));
    let mut command = blipmq(&["reload", "--metrics", &url]);
    command.args(words).env_remove("BLIPMQ_METRICS").env_remove("BLIPMQ_METRICS_TOKEN");
    let output = command.output().expect("the process starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8 output");
    (
        output.status.code().expect("the end of the example"),
        text(output.stdout),
        text(output.stderr),
    )
}

fn the_reload_command_prints_changes_and_errors(cores: &str) {
    let reloadable = Reloadable::start(cores, "[delivery]\nmax_batch = 9\n");
    let broker = &reloadable.broker;
    let write = |text: &str| std::fs::write(&reloadable.file.0, text).expect("our own file");
    write("[delivery]\nmax_batch = 8\nfanout_shards = 3\n");
    let (status, stdout, errors) = reload_command(broker, &[]);
    assert_eq!((status, errors.as_str()), (0, ""));
    let expected =
        "applied: delivery.max_batch\nchanged, but needs a restart: delivery.fanout_shards\n";
    assert_eq!(stdout, expected);
    write("[delivery]\nmax_batch = 0\nmax_bach = 1\n");
    let (status, stdout, errors) = reload_command(broker, &["--pid", &broker.pid().to_string()]);
    assert_eq!((status, stdout.as_str()), (1, ""));
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    assert_eq!(lines[0], "blipmq: nothing was changed:");
    assert!(lines[1].contains(":2: [delivery] max_batch = 0"), "{errors}");
    assert!(lines[2].contains(":3: [delivery] max_bach"), "{errors}");
    Wire::connect(broker.addr).ping();
}

fn the_reload_command_signals_no_process_that_is_not_a_broker(cores: &str) {
    let broker = Broker::start(cores);
    let own = std::process::id().to_string();
    let (status, _, errors) = reload_command(&broker, &["--pid", &own]);
    assert_eq!(status, 1);
    assert!(errors.contains(&own) && errors.contains("not blipmq"), "{errors}");
    let none = (1..)
        .map(|pid| (1 << 22) - pid)
        .find(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists());
    let none = none.expect("not every number is in use").to_string();
    let (status, _, errors) = reload_command(&broker, &["--pid", &none]);
    assert_eq!(status, 1);
    assert!(errors.contains("there is no process"), "{errors}");
}

fn the_reload_command_signals_a_broker_whose_program_has_another_name(cores: &str) {
    // A further name, not a copy: what is being written while another test forks cannot be executed.
    let original = std::path::Path::new(env!("CARGO_BIN_EXE_blipmq"));
    let name = format!("message-broker-{}-{cores}", std::process::id());
    let program = TempFile(original.with_file_name(name));
    std::fs::hard_link(original, &program.0).expect("our own folder");
    let file = TempFile::new("renamed.toml", b"[delivery]\nmax_batch = 9\n");
    let mut command = std::process::Command::new(&program.0);
    command.args(["--bind", "127.0.0.1:0", "--nats-bind", "127.0.0.1:0"]);
    command.args(["--metrics-bind", "127.0.0.1:0", "--cores", cores, "--config", file.path()]);
    let broker = Broker::from_command(command);
    std::fs::write(&file.0, "[delivery]\nmax_batch = 8\n").expect("our own file");
    // As after an upgrade: the file of the running program is gone.
    drop(program);
    let (status, stdout, errors) = reload_command(&broker, &[]);
    assert_eq!((status, errors.as_str()), (0, ""));
    assert_eq!(stdout, "applied: delivery.max_batch\n");
    // A client of blipmq is no broker: SIGHUP would end it.
    let mut client = Running::start({
        let mut command = blipmq(&["sub", "a", "--quiet", "--server", &broker.server()]);
        command.stdout(std::process::Stdio::null());
        command
    });
    broker.wait_for_metric("blipmq_subscriptions", "", |subscriptions| subscriptions == 1);
    let pid = client.child.id().to_string();
    let (status, _, errors) = reload_command(&broker, &["--pid", &pid]);
    assert!(status == 1 && errors.contains("not blipmq as a broker"), "{errors}");
    assert_eq!(client.child.try_wait().expect("our own child process"), None);
}
