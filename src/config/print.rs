//! From settings to TOML: the whole configuration with its comments, as `config/mixed.toml` shows it.
//!
//! # Always true
//! - The printed text parses to the same settings, but for secrets: their placeholder is refused.

use std::fmt;

use super::auth::{Login, Origin, Responses, SECRET_PRINTED, Secret, User};
use super::keys::{CERTIFICATE_KEYS, Form, KEYS, TABLES, USER_KEYS, UserForm};
use super::tls::CertificateFiles;
use super::{Settings, cores};

impl fmt::Display for Settings {
    /// Prints a complete TOML file: every key, with its meaning and range above it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, table) in TABLES.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            writeln!(f, "{gap}[{table}]")?;
            for key in KEYS.iter().filter(|key| key.table == *table) {
                for line in key.doc.lines() {
                    writeln!(f, "# {line}")?;
                }
                if let Form::Number { range, .. } = &key.form {
                    writeln!(f, "# From {} to {}.", range.start(), range.end())?;
                }
                // A key of TLS without a certificate has no effect, and a file may not set it.
                let is_off = *table == "tls" && !self.tls.is_configured();
                match value(self, &key.form) {
                    Some(value) if !is_off => writeln!(f, "{} = {value}", key.name)?,
                    Some(value) => writeln!(f, "# {} = {value}", key.name)?,
                    // Absent, or another key has the value.
                    None => writeln!(f, "# {} = \"...\"", key.name)?,
                }
            }
            match *table {
                "auth" => write_users(f, &self.auth.users)?,
                "tls" => write_certificates(f, &self.tls.certificates)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Prints the further certificates, or an example of one.
fn write_certificates(
    f: &mut fmt::Formatter<'_>,
    certificates: &[CertificateFiles],
) -> fmt::Result {
    writeln!(
        f,
        "# Further certificates, for clients that ask for a name in them: a table like this one for \
         each,\n# without the \"# \". All other clients get the certificate above."
    )?;
    if certificates.is_empty() {
        writeln!(f, "# [[tls.certificates]]")?;
        for key in &CERTIFICATE_KEYS {
            writeln!(f, "# # {}\n# {} = {}", key.doc, key.name, key.example)?;
        }
    }
    for files in certificates {
        writeln!(f, "\n[[tls.certificates]]")?;
        for key in &CERTIFICATE_KEYS {
            writeln!(f, "{} = {}", key.name, quoted((key.get)(files)))?;
        }
    }
    Ok(())
}

/// Prints the users, or an example of one.
fn write_users(f: &mut fmt::Formatter<'_>, users: &[User]) -> fmt::Result {
    writeln!(
        f,
        "# Users instead of a token: a table like this one for each user, without the \"# \"."
    )?;
    if users.is_empty() {
        writeln!(f, "# [[auth.users]]")?;
        for key in &USER_KEYS {
            for line in key.doc.lines() {
                writeln!(f, "# # {line}")?;
            }
            writeln!(f, "# {} = {}", key.name, key.example)?;
        }
    }
    for user in users {
        writeln!(f, "\n[[auth.users]]")?;
        for key in &USER_KEYS {
            if let Some(value) = user_value(user, &key.form) {
                writeln!(f, "{} = {value}", key.name)?;
            }
        }
    }
    Ok(())
}

fn user_value(user: &User, form: &UserForm) -> Option<String> {
    match (form, &user.login) {
        (UserForm::Name, Login::Password { user, .. }) => Some(quoted(user)),
        (UserForm::Password, Login::Password { password, .. }) => secret_value(password),
        (UserForm::PasswordFile, Login::Password { password, .. }) => password.file().map(quoted),
        (UserForm::Nkey, Login::Nkey(nkey)) => Some(quoted(nkey.as_str())),
        (UserForm::Responses, _) => {
            let Responses { max, expires_ms } = user.permissions.allow_responses?;
            Some(format!("{{ max = {max}, expires_ms = {expires_ms} }}"))
        }
        (UserForm::Certificate, Login::Certificate { certificate, .. }) => {
            Some(quoted(certificate.text()))
        }
        (UserForm::Name, Login::Certificate { user, .. }) => user.as_deref().map(quoted),
        (UserForm::Password, Login::Certificate { password: Some(password), .. }) => {
            secret_value(password)
        }
        (UserForm::PasswordFile, Login::Certificate { password: Some(password), .. }) => {
            password.file().map(quoted)
        }
        (UserForm::Patterns { get, .. }, _) => {
            let patterns = get(&user.permissions).as_ref()?;
            let patterns: Vec<String> = patterns.iter().map(|pattern| quoted(pattern)).collect();
            Some(format!("[{}]", patterns.join(", ")))
        }
        (UserForm::Number { get, .. }, _) => {
            let number = get(&user.limits);
            (number != 0).then(|| number.to_string())
        }
        _ => None,
    }
}

/// A secret as far as it is printed: where it is, or a placeholder. `None` if it is in a file, which has a
/// key of its own.
fn secret_value(secret: &Secret) -> Option<String> {
    match secret.origin() {
        Origin::Configuration => Some(quoted(SECRET_PRINTED)),
        Origin::Environment(name) => Some(format!("{{ env = {} }}", quoted(name))),
        Origin::File(_) => None,
    }
}

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The value as TOML writes it, `None` if it is absent. Only strings that operators choose need
/// escaping.
fn value(settings: &Settings, form: &Form) -> Option<String> {
    Some(match form {
        Form::Text { get, .. } | Form::File { get, .. } | Form::Name { get, .. } => {
            quoted(get(settings).as_ref()?)
        }
        Form::Secret { get, .. } => secret_value(get(settings).as_ref()?)?,
        Form::SecretFile { get, .. } => quoted(get(settings).as_ref()?.file()?),
        Form::Number { get, .. } => get(settings).to_string(),
        Form::Flag { get, .. } => get(settings).to_string(),
        Form::Address { get, .. } => format!("\"{}\"", get(settings)),
        Form::Cores { get, .. } => match get(settings) {
            None => "\"all\"".to_owned(),
            Some(list) => format!("\"{}\"", cores::print(list)),
        },
        Form::Choice { get, .. } => format!("\"{}\"", get(settings)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{
        Auth, ClientCerts, Delivery, Limits, LogFormat, LogLevel, Logging, Metrics, Nats,
        OverflowPolicy, Queues, Server, Tls,
    };
    use super::*;

    #[test]
    fn printed_defaults_parse_to_the_defaults() {
        let text = Settings::default().to_string();
        assert_eq!(Settings::parse("printed", &text), Ok(Settings::default()));
    }

    #[test]
    fn printed_settings_parse_to_the_same_settings() {
        let settings = Settings {
            server: Server {
                bind_addr: "[::1]:1".parse().unwrap(),
                insecure: Some("a \"lab\"".to_owned()),
                cores: Some(vec![0, 2, 3, 9]),
                max_connections: 2,
                max_message_size_bytes: 3,
                auth_timeout_ms: 4,
                drain_timeout_ms: 5,
                busy_poll_us: 16,
                drain_spread_ms: 4,
                lame_duck_ms: 20,
                write_timeout_ms: 24,
                ping_interval_ms: 25,
                pings_max: 26,
            },
            nats: Nats {
                enabled: false,
                bind_addr: "[::1]:2".parse().unwrap(),
                subscriber_capacity: 17,
                ping_interval_ms: 18,
                pings_max: 19,
                no_auth_user: None,
            },
            tls: Tls {
                cert_file: Some("a.pem".to_owned()),
                key_file: Some("a.key".to_owned()),
                client_ca_file: Some("ca.pem".to_owned()),
                ..Tls::default()
            },
            auth: Auth::default(),
            queues: Queues {
                topic_bytes: 13 << 20,
                topic_idle_timeout_ms: 14,
                block_timeout_ms: 15,
                block_min_rate: 17,
                topic_capacity: 6,
                subscriber_capacity: 7,
                subscriber_bytes: 8_000_000_000,
                connection_bytes: 9_000_000_000,
                overflow_policy: OverflowPolicy::DropNew,
            },
            delivery: Delivery { max_batch: 9, fanout_shards: 10, default_ttl_ms: u32::MAX },
            limits: Limits {
                memory_max: 1 << 33,
                max_topics: 11,
                max_topics_per_connection: 13,
                max_subscriptions_per_connection: 12,
                max_subscriptions: 27,
                max_fan_out_per_connection: 28,
                max_connections_per_address: 21,
                max_new_connections_per_address: 22,
                max_connections_before_login: 23,
                max_publish_messages_per_second: 25,
                max_publish_bytes_per_second: 26,
                max_pattern_tokens: 11,
            },
            metrics: Metrics {
                enabled: false,
                bind_addr: "[::]:0".parse().unwrap(),
                token: None,
                tls: true,
                client_certs: ClientCerts::Optional,
            },
            logging: Logging { level: LogLevel::Trace, format: LogFormat::Json },
        };
        assert_eq!(Settings::parse("printed", &settings.to_string()), Ok(settings));
    }

    #[test]
    fn every_key_is_printed_with_a_comment_above_it() {
        let text = Settings::default().to_string();
        let lines: Vec<&str> = text.lines().collect();
        for key in &KEYS {
            let start = format!("{} = ", key.name);
            let of_key = |line: &&str| line.trim_start_matches("# ").starts_with(&start);
            let at = lines.iter().position(of_key).expect(key.name);
            assert!(lines[at - 1].starts_with("# "), "{} has no comment", key.name);
        }
    }
}
