//! Each kind of problem with its exact text.

use super::*;

#[track_caller]
fn assert_texts(rows: &[(&str, &str)]) {
    for (text, words) in rows {
        assert_eq!(only_error(text), *words);
    }
}

#[test]
fn a_table_below_another_is_named_as_one_of_its_own() {
    assert_texts(&[(
        "[server.tls]\nkey = 5\n",
        "blipmq.toml:1: [server] tls is not a known key; [tls] is a table of its own",
    )]);
}

#[test]
fn an_unknown_or_misplaced_name_is_one_line_with_the_known_ones() {
    assert_texts(&[
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
             max_topics_per_connection, max_subscriptions_per_connection, max_subscriptions, \
             max_fan_out_per_connection, \
             max_connections_per_address, max_new_connections_per_address, \
             max_connections_before_login, max_publish_messages_per_second, \
             max_publish_bytes_per_second, max_pattern_tokens",
        ),
        (
            "[server.whatever]\nkey = 5\n",
            "blipmq.toml:1: [server] whatever is not a known key; known keys: bind_addr, insecure, cores, \
             max_connections, max_message_size_bytes, auth_timeout_ms, drain_timeout_ms, \
             drain_spread_ms, lame_duck_ms, write_timeout_ms, ping_interval_ms, pings_max, \
             busy_poll_us",
        ),
        ("[sever]\n", "blipmq.toml:1: [sever] is not a known table; did you mean [server]?"),
        (
            "[storage]\n",
            "blipmq.toml:1: [storage] is not a known table; known tables: [server], [nats], \
             [tls], [auth], [queues], [delivery], [limits], [metrics], [logging]",
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
            "blipmq.toml:1: max_topics is outside its table; move it below [limits]",
        ),
        (
            "bind_addr = \"127.0.0.1:1\"\n",
            "blipmq.toml:1: bind_addr is outside its table; move it below [server] or \
             [nats] or [metrics]",
        ),
        (
            "max_topic = 5\n",
            "blipmq.toml:1: max_topic is not a known key; did you mean max_topics, below \
             [limits]?",
        ),
        (
            "zzz = 5\n",
            "blipmq.toml:1: zzz is not a known key; keys belong below their table: [server], \
             [nats], [tls], [auth], [queues], [delivery], [limits], [metrics], [logging]",
        ),
    ]);
}

#[test]
fn a_duplicate_is_one_line_that_says_what_to_keep() {
    assert_texts(&[
        (
            "[delivery]\nmax_batch = 5\n\n[server]\n\n[delivery]\nfanout_shards = 6\n",
            "blipmq.toml:6: [delivery] is a second table of this name; move its keys to the first one",
        ),
        (
            "[ delivery ] # here\nmax_batch = 5\nmax_batch = 6\n",
            "blipmq.toml:3: [delivery] max_batch is set a second time; keep one of the two lines",
        ),
    ]);
}

#[test]
fn a_value_that_is_not_allowed_is_one_line_with_the_allowed_ones() {
    assert_texts(&[
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
            "[server]\nmax_message_size_bytes = 2000\n[queues]\nsubscriber_bytes = 2000\n",
            "blipmq.toml:4: [queues] subscriber_bytes = 2000 is out of range, must be a whole \
             number from 4096 to 68719476736",
        ),
    ]);
}

#[test]
fn a_conflict_is_one_line_that_names_both_keys() {
    assert_texts(&[
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
            "[server]\nmax_message_size_bytes = 5000\n[queues]\nsubscriber_bytes = 5000\n",
            "blipmq.toml:4: [queues] subscriber_bytes = 5000 is less than the 5044 bytes that a message \
             of [server] max_message_size_bytes = 5000 takes with its header, so the longest messages \
             would reach no subscriber; raise the first or lower the second",
        ),
    ]);
}

#[test]
fn text_that_is_not_toml_is_reported_with_its_line_and_column_and_is_not_repeated() {
    assert_texts(&[
        (
            "[delivery]\nmax_batch = \n",
            "blipmq.toml:2: not valid TOML: string values must be quoted, expected literal string, at \
             column 13",
        ),
        (
            "[queues]\noverflow_policy = dröp 6\n",
            "blipmq.toml:2: not valid TOML: string values must be quoted, expected literal string, at \
             column 19",
        ),
    ]);
    for (text, line, column) in [
        ("[delivery]\nmax_batch 5\n", 2, 11),
        ("[queues\ntopic_capacity = 1\n", 1, 8),
        ("[queues]\noverflow_policy = \"drop_new\n", 2, 28),
        ("[delivery]\nmax_batch = 5 6\n", 2, 13),
        ("\u{0}\n", 1, 2),
    ] {
        let error = only_error(text);
        assert!(error.starts_with(&format!("blipmq.toml:{line}: not valid TOML: ")), "{error}");
        assert!(error.ends_with(&format!(", at column {column}")), "{error}");
    }
}

/// Where a quote is missing, the parser takes pieces of a secret for names and values.
#[test]
fn beside_a_syntax_error_only_known_names_are_shown() {
    let text = "[server]\nmax_conections = 5\nbind_addr = 7\ncores = \"3-1\"\n[sever]\n[queues]\n\
                topic_capacity = \n";
    let lines = error_lines(text);
    assert_eq!(
        lines[..4],
        [
            "blipmq.toml:2: [server] <not printed> is not a known key; did you mean max_connections?",
            "blipmq.toml:3: [server] bind_addr = <not printed> is an integer, must be an IP address and \
             a port in quotes, like \"127.0.0.1:7878\" or \"[::1]:7878\"",
            "blipmq.toml:4: [server] cores = <not printed> must be CPU numbers from 0 to 1023 in quotes, \
             like \"0,2-3\", or \"all\"",
            "blipmq.toml:5: [<not printed>] is not a known table; did you mean [server]?",
        ],
        "{lines:#?}"
    );
    assert_eq!(lines.len(), 5, "{lines:#?}");
}

#[test]
fn all_problems_of_a_file_are_reported_at_once_in_the_order_of_lines() {
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
