//! `blipmq top`: the real binary against a fake of the broker's admin endpoint, with --once and on a
//! pseudo-terminal.

#[path = "../support/mod.rs"]
mod support;

mod fake;
mod terminal;

use std::process::{Command, Output};

use fake::{Broker, Fake, Reply};
use support::running::blipmq;
use terminal::Session;

/// Builds a `blipmq top` that ignores the environment of the test.
fn top(url: &str, words: &[&str]) -> Command {
    let mut command = blipmq(&["top", "--metrics", url, "--interval", "100ms"]);
    command.args(words).env_remove("BLIPMQ_METRICS").env_remove("BLIPMQ_METRICS_TOKEN");
    command.env_remove("NO_COLOR").env_remove("TERM");
    command
}

fn once(url: &str) -> Output {
    top(url, &["--once"]).output().expect("blipmq starts")
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert!(error.is_empty(), "{error}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Asserts that a failure is one line on stderr, and that stdout is empty.
#[track_caller]
fn assert_fails(output: &Output, expected: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("blipmq: ") && error.lines().count() == 1, "{error}");
    assert!(error.contains(expected), "no {expected:?} in {error}");
    let is_plain = |character: char| !character.is_control() || character == '\n';
    assert!(error.chars().all(is_plain), "{error:?}");
    assert!(output.stdout.is_empty());
}

// --- with --once ---

#[test]
fn once_prints_the_results_of_two_polls() {
    let fake = Fake::broker();
    let text = succeeded(&once(&fake.url));
    for expected in [
        "BlipMQ 0.1.0 ready, up 1 min 1 s, pid 123, server id 9F3A5C7E12B4D680\n",
        "blip 127.0.0.1:7878, nats off, metrics 127.0.0.1:9090\n",
        // All 200 values between the polls are between 2 and 4 ms.
        "  p50                    3.00 ms       20.0 us\n",
        "  memory           0 %  1.00 MiB of 2.00 GiB    limits.memory_max\n",
        "lag 250 ms, queue 50 % full, lost 12, 0 a second (oldest 12): 7 of 0-12-3 127.0.0.1:5555",
        "busiest 1 of 1 topics:\n      12.5/s, 100 in all: orders.\\u{1b}[2J\\u{1b}]0;owned\\u{7}\n",
        "2 subscriptions, nats open: 0-12-3 127.0.0.1:5555",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    // Rates depend on the time, but they are not 0.
    let published = text.lines().find(|line| line.starts_with("  published")).expect("a line");
    assert!(!published.contains(" 0 "), "{published}");
    let cores: Vec<_> = text.lines().filter(|line| line.contains("100 %")).collect();
    assert_eq!(cores.len(), 2, "{text}");
    // Sends per enter and messages per send.
    assert!(cores.iter().all(|core| core.contains("        3       48      2 ")), "{text}");
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
    let requests = fake.requests();
    let count = |path: &str| requests.iter().filter(|request| request.contains(path)).count();
    assert_eq!((count("GET /api/v1/status "), count("GET /api/v1/cores ")), (2, 2));
    let list = "GET /api/v1/subscriptions?sort=lag&order=desc&limit=10&offset=0 ";
    assert_eq!(count(list), 2, "{requests:?}");
}

#[test]
fn once_is_implied_if_stdout_is_not_a_terminal() {
    let fake = Fake::broker();
    let text = succeeded(&top(&fake.url, &[]).output().expect("blipmq starts"));
    assert!(text.contains("\nper second, over "), "{text}");
}

#[test]
fn tokens_come_from_the_command_line_or_the_environment() {
    let fake = Fake::broker();
    succeeded(&top(&fake.url, &["--once", "--token", "s3cret"]).output().expect("blipmq starts"));
    let mut command = blipmq(&["top", "--once", "--interval", "100ms"]);
    command.env("BLIPMQ_METRICS", &fake.url).env("BLIPMQ_METRICS_TOKEN", "s3cret");
    succeeded(&command.output().expect("blipmq starts"));
    let requests = fake.requests();
    assert_eq!(requests.len(), 20);
    for request in requests {
        let request = request.to_lowercase();
        assert!(request.contains("\r\nauthorization: bearer s3cret\r\n"), "{request}");
    }
}

#[test]
fn a_missing_token_and_a_wrong_one_are_different_errors() {
    let fake = Fake::start(|_| Reply::Http(401, r#"{"error":"a token is wanted"}"#.to_owned()));
    let output = once(&fake.url);
    assert_fails(&output, "requires a token (401: a token is wanted)");
    assert_fails(&output, "BLIPMQ_METRICS_TOKEN");
    let output = top(&fake.url, &["--once", "--token", "wrong"]).output().expect("blipmq starts");
    assert_fails(&output, "refuses the token (401: a token is wanted)");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("wrong"), "secrets are not printed");
}

#[test]
fn refusals_contain_the_brokers_reason() {
    let fake = Fake::start(|_| Reply::Http(503, r#"{"error":"too busy\u001b[2J"}"#.to_owned()));
    assert_fails(&once(&fake.url), "/api/v1/status answered 503: too busy\\u{1b}[2J");
}

#[test]
fn an_unreachable_broker_is_reported_with_its_address_and_a_remedy() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a listening socket"));
    drop(listener);
    let output = once(&url);
    assert_fails(&output, &format!("cannot reach {url}: "));
    assert_fails(&output, "is the broker running, with `[metrics] enabled = true`");
}

#[test]
fn answers_of_other_programs_are_recognised() {
    let http = |body: &str| {
        let body = body.to_owned();
        Fake::start(move |_| Reply::Http(200, body.clone()))
    };
    let raw = |bytes: &'static [u8]| Fake::start(move |_| Reply::Raw(bytes.to_vec()));
    let rows = [
        (http("<html>\x1b[2Jhello</html>"), "the answer is not JSON: <html>\\u{1b}[2Jhello</html>"),
        (http(""), "the answer is not JSON: (empty)"),
        (http("{\"name\": \"blip"), "the answer is not JSON"),
        (http("[1, 2]"), "invalid"),
        (http("{\"name\": \"blipmq\"}"), "missing field `version`"),
        (Fake::start(|_| Reply::Http(404, "no such page".to_owned())), "404, no such page"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not answer like this version of BlipMQ"),
        (raw(b""), "does not answer like this version of BlipMQ"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), "does not answer like"),
    ];
    for (fake, expected) in rows {
        assert_fails(&once(&fake.url), expected);
    }
    let other = Fake::start(|path| match Broker::default().answer(path) {
        Reply::Http(status, body) => {
            Reply::Http(status, body.replace("\"name\":\"blipmq\"", "\"name\":\"other\""))
        }
        raw => raw,
    });
    assert_fails(&once(&other.url), "its name is `other`");
}

#[test]
fn neither_redirects_nor_proxies_see_the_token() {
    let elsewhere = Fake::broker();
    let moved = format!(
        "HTTP/1.1 302 X\r\nLocation: {}/api/v1/status\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url
    );
    let fake = Fake::start(move |_| Reply::Raw(moved.clone().into_bytes()));
    let output = top(&fake.url, &["--once", "--token", "s3cret"]).output().expect("blipmq starts");
    assert_fails(&output, "answered 302");
    let broker = Fake::broker();
    let mut command = top(&broker.url, &["--once", "--token", "s3cret"]);
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, &elsewhere.url);
    }
    succeeded(&command.output().expect("blipmq starts"));
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn a_restart_between_the_two_polls_gives_no_numbers() {
    let (first, second) = (Broker::default(), Broker::with_id("00"));
    let requests_made = std::sync::atomic::AtomicU32::new(0);
    let fake = Fake::start(move |path| {
        // The first poll makes five requests.
        match requests_made.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0..5 => first.answer(path),
            _ => second.answer(path),
        }
    });
    assert_fails(&once(&fake.url), "was restarted between the two polls");
}

#[test]
fn invalid_command_lines_have_status_2() {
    for words in [
        &["--interval", "0"][..],
        &["--interval", "2h"],
        &["--metrics", "ftp://127.0.0.1:9090"],
        &["--metrics", "unix:/run/x"],
        &["--token", "two words"],
        &["--metrics"],
    ] {
        let output = blipmq(&["top"]).args(words).output().expect("blipmq starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
    }
}

// --- on a terminal ---

#[test]
fn a_terminal_shows_the_views_and_is_restored_when_q_is_pressed() {
    let fake = Fake::broker();
    let mut session = Session::start(&top(&fake.url, &[]), 80, 24);
    session.wait_for("Cores 1 to 2 of 2");
    assert!(session.is_on_alternate_screen() && session.is_raw());
    // From the second poll on there are rates and percentiles.
    session.wait_for("p50          3.00 ms");
    session.type_keys("2");
    session.wait_for("Subscribers 1 to 1 of 1  by lag");
    session.type_keys("s");
    session.wait_for("by dropped, highest first");
    session.type_keys("\t");
    session.wait_for("orders.\\u{1b}");
    session.type_keys("?");
    session.wait_for("Ctrl-C");
    session.type_keys("?p");
    session.wait_for("PAUSED");
    session.type_keys("q");
    assert_eq!(session.wait().code(), Some(0));
    let written = String::from_utf8_lossy(&session.written);
    assert!(!written.contains("owned\u{7}") && !written.contains("\u{1b}]0;"), "{written:?}");
    assert!(written.contains("\u{1b}[?1049l") && written.contains("\u{1b}[?25h"));
    // Colours are on by default.
    assert!(written.contains("\u{1b}[38;5;"), "{written:?}");
}

#[test]
fn escape_ctrl_c_and_signals_restore_the_terminal_too() {
    let fake = Fake::broker();
    for exit in ["\u{1b}", "\u{3}", "TERM", "INT"] {
        let mut session = Session::start(&top(&fake.url, &[]), 80, 24);
        session.wait_for("Cores 1 to 2 of 2");
        match exit {
            "TERM" | "INT" => session.running.signal(exit),
            keys => session.type_keys(keys),
        }
        assert_eq!(session.wait().code(), Some(0), "{exit:?}");
    }
}

#[test]
fn an_outage_and_a_restart_of_the_broker_are_shown() {
    let fake = Fake::broker();
    let mut session = Session::start(&top(&fake.url, &[]), 100, 30);
    session.wait_for("p50");
    fake.set_answers(|_| Reply::Http(503, r#"{"error":"gone for a while"}"#.to_owned()));
    session.wait_for("still trying");
    session.wait_for("503: gone for a while");
    // Keys still work.
    session.type_keys("3");
    session.wait_for("Topics");
    let broker = Broker::with_id("0000000000000001");
    fake.set_answers(move |path| broker.answer(path));
    session.wait_for("id 0000000000000001");
    assert!(!session.text().contains("still trying"), "{}", session.text());
    session.type_keys("q");
    assert_eq!(session.wait().code(), Some(0));
}

#[test]
fn a_resized_terminal_is_redrawn() {
    let fake = Fake::broker();
    let mut session = Session::start(&top(&fake.url, &[]), 80, 24);
    session.wait_for("Cores 1 to 2 of 2");
    assert!(!session.text().contains("Busiest topics"));
    session.resize(160, 50);
    session.wait_for("Busiest topics");
    session.wait_for("WAITING");
    session.resize(40, 10);
    session.wait_for("Per second");
    session.type_keys("q");
    assert_eq!(session.wait().code(), Some(0));
}

#[test]
fn a_key_typed_while_the_terminal_changes_its_size_is_not_lost() {
    let fake = Fake::broker();
    let mut session = Session::start(&top(&fake.url, &[]), 100, 30);
    session.wait_for("p50");
    for columns in 81..100 {
        let (key, title) = if columns % 2 == 1 { ("3", "Topics 1") } else { ("1", "Cores 1") };
        session.resize(columns, 30);
        session.type_keys(key);
        session.wait_for(title);
    }
    session.type_keys("q");
    assert_eq!(session.wait().code(), Some(0));
}

#[test]
fn no_color_turns_colours_off() {
    let fake = Fake::broker();
    let mut command = top(&fake.url, &[]);
    command.env("NO_COLOR", "1");
    let mut session = Session::start(&command, 80, 24);
    session.wait_for("p50          3.00 ms");
    session.type_keys("q");
    assert_eq!(session.wait().code(), Some(0));
    let written = String::from_utf8_lossy(&session.written);
    assert!(!written.contains("\u{1b}[38;5;"), "{written:?}");
}

#[test]
fn an_unreachable_broker_is_reported_before_the_terminal_is_set_up() {
    let mut session = Session::start(&top("http://127.0.0.1:1", &[]), 80, 24);
    session.wait_for("blipmq: cannot reach http://127.0.0.1:1");
    assert_eq!(session.wait().code(), Some(1));
    assert!(!String::from_utf8_lossy(&session.written).contains("\u{1b}[?1049h"));
}
