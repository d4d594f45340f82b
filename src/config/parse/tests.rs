//! Every key with both ends of its range, every notation of TOML, and broken text.

mod problems;

use super::*;
use crate::config::{ClientCerts, OverflowPolicy};

/// Each file and each variable has a secret of its own.
struct Elsewhere;

impl SecretSource for Elsewhere {
    fn of_file(&self, path: &str) -> Result<String, String> {
        Ok(format!("s3cret of {path}"))
    }

    fn of_environment(&self, name: &str) -> Result<String, String> {
        Ok(format!("s3cret of {name}"))
    }
}

fn parsed(text: &str) -> Settings {
    Settings::parse_with("blipmq.toml", text, &Elsewhere)
        .unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn error_lines(text: &str) -> Vec<String> {
    match Settings::parse_with("blipmq.toml", text, &Elsewhere) {
        Ok(_) => panic!("was accepted: {text}"),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

fn only_error(text: &str) -> String {
    let mut lines = error_lines(text);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.remove(0)
}

/// A file that sets one key, and other keys if the first would otherwise conflict with their defaults.
fn file_with(key: &Key, value: &str) -> String {
    let companion = match key.name {
        // Users of the names that it is given.
        "no_auth_user" => {
            "[[auth.users]]\nuser = \"eu\"\npassword = \"p\"\n\
             [[auth.users]]\nuser = \"...\"\npassword = \"p\"\n"
        }
        "max_message_size_bytes" => "[queues]\nsubscriber_bytes = 68719476736\n",
        // That of `[metrics]`.
        "tls" => "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\n",
        "client_certs" if key.table == "metrics" => {
            "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\nclient_ca_file = \"ca.pem\"\n"
        }
        "subscriber_bytes" => "[server]\nmax_message_size_bytes = 1\n",
        _ => "",
    };
    let siblings: &[(&str, &str)] = match (key.table, key.name) {
        ("tls", "client_ca_file" | "client_certs" | "crl_file") => &[
            ("cert_file", "\"a.pem\""),
            ("key_file", "\"a.key\""),
            ("client_certs", "\"required\""),
            ("client_ca_file", "\"ca.pem\""),
        ],
        ("metrics", "client_certs") => &[("tls", "true")],
        ("tls", _) => &[("cert_file", "\"a.pem\""), ("key_file", "\"a.key\"")],
        _ => &[],
    };
    let siblings = siblings.iter().filter(|(name, _)| *name != key.name);
    let siblings: String = siblings.map(|(name, value)| format!("{name} = {value}\n")).collect();
    format!("{companion}[{}]\n{siblings}{} = {value}\n", key.table, key.name)
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
        Form::Text { .. } => "\"a lab\"".to_owned(),
        Form::File { .. } => "\"b.pem\"".to_owned(),
        Form::Secret { .. } => "\"s3cret\"".to_owned(),
        Form::Name { .. } => "\"eu\"".to_owned(),
        Form::SecretFile { .. } => "\"a/file\"".to_owned(),
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(parsed(""), Settings::default());
    assert_eq!(parsed("# nothing\n[server]\n[queues]\n"), Settings::default());
}

#[test]
fn every_key_is_accepted_and_changes_its_own_setting_alone() {
    for key in &KEYS {
        let default = match key.name {
            // `file_with` adds authorities for clients, which the default excludes.
            "client_certs" => "\"required\"".to_owned(),
            _ => value_of(&Settings::default(), key),
        };
        let before = parsed(&file_with(key, &default));
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

/// The value in the printed settings.
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
            Form::Choice { .. } | Form::Text { .. } | Form::Name { .. } => "string",
            Form::File { .. } | Form::Secret { .. } | Form::SecretFile { .. } => "string",
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
                Form::Secret { .. } | Form::SecretFile { .. } => SECRET_PRINTED,
                // Their insides may be anything.
                _ if type_name == "array" => "[...]",
                _ if type_name == "table" => "{...}",
                _ => value,
            };
            let claim = format!("[{}] {} = {shown} is a", key.table, key.name);
            assert!(error.contains(&claim), "{error}\ndoes not contain: {claim}");
            assert!(error.contains(&format!("{type_name}, must be {}", key.allowed())), "{error}");
        }
    }
}

#[test]
fn keys_below_a_repeated_header_are_checked_too() {
    let lines = error_lines("[delivery]\n[delivery]\nmax_batch = 0\n");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[1].starts_with("blipmq.toml:3: [delivery] max_batch = 0 is"), "{lines:#?}");
}

#[test]
fn every_notation_of_toml_is_read() {
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
fn disabled_listeners_and_port_zero_do_not_collide() {
    parsed("[nats]\nenabled = false\nbind_addr = \"127.0.0.1:7878\"\n");
    parsed("[metrics]\nenabled = false\nbind_addr = \"127.0.0.1:7878\"\n");
    parsed("[nats]\nbind_addr = \"0.0.0.0:0\"\n[server]\nbind_addr = \"0.0.0.0:0\"\n");
    assert!(
        only_error("[nats]\nbind_addr = \"0.0.0.0:7878\"\n")
            .contains("\"0.0.0.0:7878\" is taken by [server] bind_addr = \"127.0.0.1:7878\"")
    );
}

#[test]
fn metrics_that_other_machines_can_reach_need_a_token() {
    let wide = "[metrics]\nbind_addr = \"0.0.0.0:9090\"\n";
    assert!(only_error(wide).contains("set [metrics] token, or bind it to 127.0.0.1"));
    parsed(&format!("{wide}token = \"s3cret\"\n"));
    parsed(&format!("{wide}enabled = false\n"));
    parsed("[metrics]\nbind_addr = \"[::1]:9090\"\n");
}

#[test]
fn metrics_over_tls_need_a_certificate() {
    let secure = "[metrics]\ntls = true\n";
    let error = only_error(secure);
    assert!(error.contains("line 2") || error.contains(":2:"), "{error}");
    assert!(error.contains("add [tls] with cert_file = \"...\""), "{error}");
    let files = "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\n";
    assert!(parsed(&format!("{files}{secure}")).metrics.tls);
    assert!(!parsed(files).metrics.tls);
}

#[test]
fn certificates_for_the_pages_need_tls_there_and_authorities() {
    let files = "[tls]\ncert_file = \"a.pem\"\nkey_file = \"a.key\"\n";
    let authorities = "client_ca_file = \"ca.pem\"\n";
    let error =
        only_error(&format!("{files}{authorities}[metrics]\nclient_certs = \"optional\"\n"));
    assert!(error.contains("cannot check any certificate; add tls = true"), "{error}");
    let asks = "[metrics]\ntls = true\nclient_certs = \"required\"\n";
    let error = only_error(&format!("{files}{asks}"));
    assert!(error.contains("add [tls] client_ca_file"), "{error}");
    let settings = parsed(&format!("{files}{authorities}{asks}"));
    assert_eq!(settings.metrics.client_certs, ClientCerts::Required);
    // A certificate is as good as a token.
    parsed(&format!("{files}{authorities}{asks}bind_addr = \"10.0.0.7:9090\"\n"));
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

#[test]
fn settings_are_local_if_every_enabled_listener_for_clients_is_on_loopback() {
    let open = "bind_addr = \"0.0.0.0:7000\"\n";
    for (text, is_local) in [
        (String::new(), true),
        ("[server]\nbind_addr = \"[::1]:7000\"\n".to_owned(), true),
        (format!("[server]\n{open}"), false),
        (format!("[nats]\n{open}enabled = true\n"), false),
        (format!("[nats]\n{open}enabled = false\n"), true),
    ] {
        assert_eq!(parsed(&text).is_local(), is_local, "{text}");
    }
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
