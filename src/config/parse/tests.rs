//! Each kind of problem with its exact words, and every key of the description at its ends.

use super::*;
use crate::config::OverflowPolicy;

fn parsed(text: &str) -> Settings {
    Settings::parse("blipmq.toml", text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn error_lines(text: &str) -> Vec<String> {
    match Settings::parse("blipmq.toml", text) {
        Ok(_) => panic!("was accepted: {text}"),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

fn only_error(text: &str) -> String {
    let mut lines = error_lines(text);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.remove(0)
}

/// A whole file that sets one key, with what its neighbours need to go along with it.
fn file_with(key: &Key, value: &str) -> String {
    let companion = match key.name {
        "max_message_size_bytes" => "[queues]\nsubscriber_bytes = 68719476736\n",
        "subscriber_bytes" => "[server]\nmax_message_size_bytes = 1\n",
        _ => "",
    };
    format!("{companion}[{}]\n{} = {value}\n", key.table, key.name)
}

/// A value that is allowed and not the default.
fn another_value(key: &Key) -> String {
    let defaults = Settings::default();
    match &key.form {
        Form::Number { range, get, .. } => {
            let default = get(&defaults);
            (if default == *range.end() { default - 1 } else { default + 1 }).to_string()
        }
        Form::Flag { get, .. } => (!get(&defaults)).to_string(),
        Form::Address { .. } => "\"127.0.0.1:4\"".to_owned(),
        Form::Cores { .. } => "\"0\"".to_owned(),
        Form::Choice { names, get, .. } => {
            let other = names().into_iter().find(|name| *name != get(&defaults));
            format!("\"{}\"", other.expect("there is a choice"))
        }
        Form::Secret { .. } => "\"s3cret\"".to_owned(),
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(parsed(""), Settings::default());
    assert_eq!(parsed("# nothing\n[server]\n[queues]\n"), Settings::default());
}

#[test]
fn every_key_of_the_description_is_accepted_and_changes_its_setting_alone() {
    for key in &KEYS {
        let before = parsed(&file_with(key, &value_of(&Settings::default(), key)));
        let after = parsed(&file_with(key, &another_value(key)));
        assert_ne!(before, after, "[{}] {}", key.table, key.name);
        let printed = match key.form {
            Form::Secret { .. } => format!("\"{SECRET_PRINTED}\""),
            _ => another_value(key),
        };
        assert_eq!(value_of(&after, key), printed);
        for other in KEYS.iter().filter(|other| (other.table, other.name) != (key.table, key.name))
        {
            assert_eq!(
                value_of(&before, other),
                value_of(&after, other),
                "[{}] {} also changes [{}] {}",
                key.table,
                key.name,
                other.table,
                other.name
            );
        }
    }
}

/// The value as the printed settings have it: no second way to read a field.
fn value_of(settings: &Settings, key: &Key) -> String {
    let text = settings.to_string();
    let table = text.split('[').find(|part| part.starts_with(&format!("{}]", key.table)));
    let start = format!("{} = ", key.name);
    // A secret that is absent is printed as a comment.
    let value = |line| str::strip_prefix(line, "# ").unwrap_or(line).strip_prefix(&start);
    let line = table.and_then(|part| part.lines().find_map(value));
    line.expect("every key is printed").to_owned()
}

#[test]
fn both_ends_of_every_range_are_accepted_and_one_beyond_is_not() {
    for key in &KEYS {
        let Form::Number { range, get, .. } = &key.form else { continue };
        for end in [*range.start(), *range.end()] {
            assert_eq!(get(&parsed(&file_with(key, &end.to_string()))), end);
        }
        let below = i128::from(*range.start()) - 1;
        let above = i128::from(*range.end()) + 1;
        for beyond in [below, above, i128::from(u64::MAX) + 1] {
            let error = only_error(&file_with(key, &beyond.to_string()));
            let claim = format!(
                "[{}] {} = {beyond} is out of range, must be a whole number from {} to {}",
                key.table,
                key.name,
                range.start(),
                range.end()
            );
            assert!(error.ends_with(&claim), "{error}\nis not: {claim}");
        }
    }
}

#[test]
fn every_key_refuses_every_type_it_does_not_take() {
    for key in &KEYS {
        let own_type = match key.form {
            Form::Number { .. } => "integer",
            Form::Flag { .. } => "boolean",
            Form::Address { .. } | Form::Cores { .. } => "string",
            Form::Choice { .. } | Form::Secret { .. } => "string",
        };
        for (type_name, value) in [
            ("string", "\"3\""),
            ("integer", "3"),
            ("float", "3.0"),
            ("boolean", "true"),
            ("datetime", "1979-05-27"),
            ("array", "[3]"),
            ("table", "{ a = 3 }"),
        ] {
            if type_name == own_type {
                continue;
            }
            let error = only_error(&file_with(key, value));
            let shown = match key.form {
                Form::Secret { .. } => SECRET_PRINTED,
                _ => value,
            };
            let claim = format!("[{}] {} = {shown} is a", key.table, key.name);
            assert!(error.contains(&claim), "{error}\ndoes not contain: {claim}");
            assert!(error.contains(&format!("{type_name}, must be {}", key.allowed())), "{error}");
        }
    }
}

#[test]
fn each_kind_of_problem_is_told_in_one_line_that_says_what_to_do() {
    for (text, words) in [
        (
            "\n\n\n\n\n[queues]\nsubscriber_capcity = 5\n",
            "blipmq.toml:7: [queues] subscriber_capcity is not a known key; did you mean \
             subscriber_capacity?",
        ),
        (
            "[queues]\nmax_batch = 5\n",
            "blipmq.toml:2: [queues] max_batch is not a known key; max_batch belongs below \
             [delivery]",
        ),
        (
            "[queues]\nfanout_shard = 5\n",
            "blipmq.toml:2: [queues] fanout_shard is not a known key; did you mean [delivery] \
             fanout_shards?",
        ),
        (
            "[limits]\nwhatever = 5\n",
            "blipmq.toml:2: [limits] whatever is not a known key; known keys: memory_max, max_topics, \
             max_subscriptions_per_connection",
        ),
        (
            "[server.tls]\nkey = 5\n",
            "blipmq.toml:1: [server] tls is not a known key; known keys: bind_addr, cores, \
             max_connections, max_message_size_bytes, auth_timeout_ms, drain_timeout_ms, \
             drain_spread_ms, busy_poll_us",
        ),
        ("[sever]\n", "blipmq.toml:1: [sever] is not a known table; did you mean [server]?"),
        (
            "[storage]\n",
            "blipmq.toml:1: [storage] is not a known table; known tables: [server], [nats], \
             [auth], [queues], [delivery], [limits], [metrics], [logging]",
        ),
        (
            "metrics = true\n",
            "blipmq.toml:1: metrics must be a table; write [metrics] on a line of its own, and \
             its keys below",
        ),
        (
            "[[server]]\nbind_addr = \"127.0.0.1:1\"\n",
            "blipmq.toml:1: server must be a table; write [server] on a line of its own, and its \
             keys below",
        ),
        (
            "max_topics = 5\n",
            "blipmq.toml:1: max_topics stands outside its table; move it below [limits]",
        ),
        (
            "bind_addr = \"127.0.0.1:1\"\n",
            "blipmq.toml:1: bind_addr stands outside its table; move it below [server] or \
             [nats] or [metrics]",
        ),
        (
            "max_topic = 5\n",
            "blipmq.toml:1: max_topic is not a known key; did you mean max_topics, below \
             [limits]?",
        ),
        (
            "zzz = 5\n",
            "blipmq.toml:1: zzz is not a known key; keys stand below their table: [server], \
             [nats], [auth], [queues], [delivery], [limits], [metrics], [logging]",
        ),
        (
            "[delivery]\nmax_batch = \"256\"\n",
            "blipmq.toml:2: [delivery] max_batch = \"256\" is a string, must be a whole number \
             from 1 to 65535",
        ),
        (
            "[delivery]\nmax_batch = -1\n",
            "blipmq.toml:2: [delivery] max_batch = -1 is out of range, must be a whole number \
             from 1 to 65535",
        ),
        (
            "[metrics]\nenabled = 1\n",
            "blipmq.toml:2: [metrics] enabled = 1 is an integer, must be true or false",
        ),
        (
            "[server]\nbind_addr = \"localhost:7878\"\n",
            "blipmq.toml:2: [server] bind_addr = \"localhost:7878\" must be an IP address and a \
             port in quotes, like \"127.0.0.1:7878\" or \"[::1]:7878\"",
        ),
        (
            "[server]\ncores = \"3-1\"\n",
            "blipmq.toml:2: [server] cores = \"3-1\": range 3-1 runs backwards; write the lower \
             core first: 1-3",
        ),
        (
            "[queues]\noverflow_policy = \"drop-new\"\n",
            "blipmq.toml:2: [queues] overflow_policy = \"drop-new\" must be \"drop_oldest\" or \
             \"drop_new\" or \"block\" or \"disconnect\" or \"latest\"",
        ),
        (
            "[delivery]\nmax_batch = 5\n\n[server]\n\n[delivery]\nfanout_shards = 6\n",
            "blipmq.toml:6: [delivery] stands here a second time; move its keys to the first one",
        ),
        (
            "[ delivery ] # here\nmax_batch = 5\nmax_batch = 6\n",
            "blipmq.toml:3: [delivery] max_batch is set a second time; keep one of both lines",
        ),
        (
            "[server]\nbind_addr = \"127.0.0.1:9090\"\n",
            "blipmq.toml:2: [metrics] bind_addr = \"127.0.0.1:9090\" is taken by [server] \
             bind_addr = \"127.0.0.1:9090\"; give one of them another port, or set [metrics] \
             enabled = false",
        ),
        (
            "[nats]\nbind_addr = \"0.0.0.0:7878\"\n",
            "blipmq.toml:2: [nats] bind_addr = \"0.0.0.0:7878\" is taken by [server] bind_addr = \
             \"127.0.0.1:7878\"; give one of them another port, or set [nats] enabled = false",
        ),
        (
            "[metrics]\nbind_addr = \"127.0.0.1:4222\"\n",
            "blipmq.toml:2: [metrics] bind_addr = \"127.0.0.1:4222\" is taken by [nats] bind_addr \
             = \"127.0.0.1:4222\"; give one of them another port, or set [metrics] enabled = false",
        ),
        (
            "[server]\nmax_message_size_bytes = 2000\n[queues]\nsubscriber_bytes = 2000\n",
            "blipmq.toml:4: [queues] subscriber_bytes = 2000 is out of range, must be a whole \
             number from 4096 to 68719476736",
        ),
        (
            "[server]\nmax_message_size_bytes = 5000\n[queues]\nsubscriber_bytes = 5000\n",
            "blipmq.toml:4: [queues] subscriber_bytes = 5000 is less than one message of [server] \
             max_message_size_bytes = 5000 takes (5044 with its header), so the longest messages \
             would reach nobody; raise the first or lower the second",
        ),
    ] {
        assert_eq!(only_error(text), words);
    }
}

#[test]
fn text_that_is_not_toml_is_told_with_its_line_and_no_guess_about_its_value() {
    for (text, line, words) in [
        ("[delivery]\nmax_batch = \n", 2, "in the line: max_batch ="),
        ("[delivery]\nmax_batch 5\n", 2, "in the line: max_batch 5"),
        ("[queues]\noverflow_policy = drop_new\n", 2, "in the line: overflow_policy = drop_new"),
        ("[queues\ntopic_capacity = 1\n", 1, "in the line: [queues"),
        ("[queues]\noverflow_policy = \"drop_new\n", 2, "overflow_policy = \"drop_new"),
        ("[delivery]\nmax_batch = 5 6\n", 2, "max_batch = 5 6"),
        ("\u{0}\n", 1, "not valid TOML"),
    ] {
        let error = only_error(text);
        assert!(error.starts_with(&format!("blipmq.toml:{line}: not valid TOML: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn all_problems_of_a_file_are_told_at_once_in_the_order_of_lines() {
    let text = "\
[server]
max_connections = 0
bind_adr = \"127.0.0.1:1\"
[queues]
topic_capacity = \"many\"
subscriber_capacity = = 3
subscriber_capacity = 3
overflow_policy = \"newest\"
[deliver]
max_batch = 0
";
    let lines: Vec<String> =
        error_lines(text).iter().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(
        lines,
        [2, 3, 5, 6, 7, 8, 9].map(|line| format!("blipmq.toml:{line}")),
        "{:#?}",
        error_lines(text)
    );
}

#[test]
fn keys_below_a_repeated_header_are_checked_too() {
    let lines = error_lines("[delivery]\n[delivery]\nmax_batch = 0\n");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[1].starts_with("blipmq.toml:3: [delivery] max_batch = 0 is"), "{lines:#?}");
}

#[test]
fn every_way_toml_has_to_write_a_key_is_read() {
    let expected = parsed("[delivery]\nmax_batch = 4096\n");
    for text in [
        "delivery.max_batch = 4096",
        "delivery = { max_batch = 4096 }",
        "[delivery]\r\nmax_batch = 4_096\r\n",
        "[delivery]\nmax_batch = 0x1000",
        "[delivery]\nmax_batch = +4096",
        "[\"delivery\"]\n'max_batch' = 4096",
        "\u{feff}[delivery]\nmax_batch = 4096",
    ] {
        assert_eq!(parsed(text), expected, "{text}");
    }
}

#[test]
fn what_is_switched_off_does_not_collide_and_neither_does_port_zero() {
    parsed("[nats]\nenabled = false\nbind_addr = \"127.0.0.1:7878\"\n");
    parsed("[metrics]\nenabled = false\nbind_addr = \"127.0.0.1:7878\"\n");
    parsed("[nats]\nbind_addr = \"0.0.0.0:0\"\n[server]\nbind_addr = \"0.0.0.0:0\"\n");
    assert!(
        only_error("[nats]\nbind_addr = \"0.0.0.0:7878\"\n")
            .contains("\"0.0.0.0:7878\" is taken by [server] bind_addr = \"127.0.0.1:7878\"")
    );
}

#[test]
fn metrics_that_others_can_reach_need_a_token() {
    let wide = "[metrics]\nbind_addr = \"0.0.0.0:9090\"\n";
    assert!(only_error(wide).contains("set [metrics] token, or bind it to 127.0.0.1"));
    parsed(&format!("{wide}token = \"s3cret\"\n"));
    parsed(&format!("{wide}enabled = false\n"));
    parsed("[metrics]\nbind_addr = \"[::1]:9090\"\n");
}

#[test]
fn overflow_policies_are_read_by_name() {
    let text = "[queues]\noverflow_policy = \"drop_new\"\n";
    assert_eq!(parsed(text).queues.overflow_policy, OverflowPolicy::DropNew);
    let text = "[queues]\noverflow_policy = \"drop_oldest\"\n";
    assert_eq!(parsed(text).queues.overflow_policy, OverflowPolicy::DropOldest);
}

#[test]
fn a_long_value_is_cut_short_in_the_error_and_stays_on_one_line() {
    let error = only_error(&format!("[server]\nbind_addr = \"{}\"\n", "ä".repeat(5_000)));
    assert!(error.len() < 400, "{error}");
    assert!(error.contains("ä..."), "{error}");
    let error = only_error("[server]\nbind_addr = \"\"\"a\nb\"\"\"\n");
    assert!(error.contains("bind_addr = \"\"\"a... must be"), "{error}");
}

/// Goal: no text makes the parser panic, however broken.
/// Method: every prefix of a full file, and the file with every byte replaced.
#[test]
fn no_broken_text_panics() {
    let text = Settings::default().to_string();
    for end in 0..text.len() {
        let _ = Settings::parse("blipmq.toml", &text[..end]);
    }
    for at in 0..text.len() {
        for byte in ["\"", "[", "=", "\n", "é", "."] {
            let broken = format!("{}{byte}{}", &text[..at], &text[at + 1..]);
            let _ = Settings::parse("blipmq.toml", &broken).map_err(|error| error.to_string());
        }
    }
}
