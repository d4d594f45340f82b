//! The INFO line, with which the server introduces itself.
//!
//! Called by the session when a connection opens, and when a field of INFO has changed.

use bytes::{BufMut, BytesMut};

/// The fields of INFO that differ from server to server and from client to client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info<'a> {
    /// New at every start.
    pub server_id: &'a str,
    /// The operator's name of the server.
    pub server_name: &'a str,
    /// The version, from which clients derive the features of the server.
    pub version: &'a str,
    /// The compiler of the server. There are clients that cannot do without the field.
    pub go: &'a str,
    /// The address of the listener.
    pub host: &'a str,
    /// The port of the listener.
    pub port: u16,
    /// Bytes of headers and payload together.
    pub max_payload: u32,
    /// The number of this connection.
    pub client_id: u64,
    /// The address of this client; left out if empty.
    pub client_ip: &'a str,
    /// The client must give credentials.
    pub auth_required: bool,
    /// The client must start TLS.
    pub tls_required: bool,
    /// The client must show a certificate.
    pub tls_verify: bool,
    /// The client may start TLS.
    pub tls_available: bool,
    /// The text that a client with an nkey signs.
    pub nonce: Option<&'a str>,
    /// The server is draining: reconnect elsewhere.
    pub ldm: bool,
}

/// Appends the INFO line. Leaves out fields that are false, zero or empty, as nats-server does.
pub fn encode(out: &mut BytesMut, info: &Info<'_>) {
    out.put_slice(b"INFO {");
    text(out, "server_id", info.server_id);
    out.put_u8(b',');
    text(out, "server_name", info.server_name);
    out.put_u8(b',');
    text(out, "version", info.version);
    out.put_u8(b',');
    text(out, "go", info.go);
    out.put_slice(b",\"proto\":1,");
    text(out, "host", info.host);
    out.put_slice(format!(",\"port\":{},\"headers\":true", info.port).as_bytes());
    for (name, flag) in [
        ("auth_required", info.auth_required),
        ("tls_required", info.tls_required),
        ("tls_verify", info.tls_verify),
        ("tls_available", info.tls_available),
    ] {
        if flag {
            out.put_slice(format!(",\"{name}\":true").as_bytes());
        }
    }
    out.put_slice(format!(",\"max_payload\":{}", info.max_payload).as_bytes());
    if info.client_id != 0 {
        out.put_slice(format!(",\"client_id\":{}", info.client_id).as_bytes());
    }
    for (name, value) in [("client_ip", info.client_ip), ("nonce", info.nonce.unwrap_or(""))] {
        if !value.is_empty() {
            out.put_u8(b',');
            text(out, name, value);
        }
    }
    if info.ldm {
        out.put_slice(b",\"ldm\":true");
    }
    out.put_slice(b"}\r\n");
}

fn text(out: &mut BytesMut, name: &str, value: &str) {
    let value = serde_json::to_string(value).expect("text is always JSON");
    out.put_slice(format!("\"{name}\":{value}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Info<'static> = Info {
        server_id: "ID",
        server_name: "a \"name\"",
        version: "2.15.1",
        go: "go1.24",
        host: "::",
        port: 4222,
        max_payload: 1 << 20,
        client_id: 6,
        client_ip: "127.0.0.1",
        auth_required: false,
        tls_required: false,
        tls_verify: false,
        tls_available: false,
        nonce: None,
        ldm: false,
    };

    fn line(info: &Info<'_>) -> String {
        let mut out = BytesMut::new();
        encode(&mut out, info);
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn info_has_only_the_fields_that_apply() {
        assert_eq!(
            line(&PLAIN),
            "INFO {\"server_id\":\"ID\",\"server_name\":\"a \\\"name\\\"\",\"version\":\"2.15.1\",\
             \"go\":\"go1.24\",\"proto\":1,\"host\":\"::\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\
             \"client_id\":6,\"client_ip\":\"127.0.0.1\"}\r\n"
        );
        let all = Info {
            auth_required: true,
            tls_required: true,
            tls_verify: true,
            tls_available: true,
            nonce: Some("n"),
            ldm: true,
            ..PLAIN
        };
        let line = line(&all);
        assert!(line.contains(
            ",\"auth_required\":true,\"tls_required\":true,\"tls_verify\":true,\
             \"tls_available\":true,\"max_payload\":"
        ));
        assert!(line.ends_with(",\"nonce\":\"n\",\"ldm\":true}\r\n"));
    }

    #[test]
    fn info_is_json_on_one_line() {
        let odd = Info { server_name: "a\r\nb\u{0}", client_id: 0, client_ip: "", ..PLAIN };
        let line = line(&odd);
        let json = line.strip_prefix("INFO ").and_then(|rest| rest.strip_suffix("\r\n"));
        let json = json.expect("one line");
        assert!(!json.contains(['\r', '\n']) && !json.contains("client_i"));
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(value["server_name"], "a\r\nb\u{0}");
    }
}
