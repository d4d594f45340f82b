//! What a NATS server sends, read as a client reads it.

/// An operation of the server.
#[derive(Debug)]
pub enum Op<'a> {
    Info(&'a str),
    Ok,
    Err(&'a str),
    Ping,
    Pong,
    Message { sid: &'a str, delivered_at: DeliveredAt<'a> },
}

/// The parts of MSG and HMSG.
#[derive(Debug)]
pub struct DeliveredAt<'a> {
    pub subject: &'a str,
    pub reply: Option<&'a str>,
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

/// Parses the first operation of what a server has sent; returns the operation and its length.
pub fn next_op(bytes: &[u8]) -> Result<Option<(Op<'_>, usize)>, String> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| "no UTF-8".to_string())?;
    let len = end + 2;
    let wrong = || format!("the server sends {line:?}");
    let op = match line {
        "+OK" => Op::Ok,
        "PING" => Op::Ping,
        "PONG" => Op::Pong,
        _ => {
            let (verb, rest) = line.split_once(' ').ok_or_else(wrong)?;
            match verb {
                "INFO" => Op::Info(rest),
                "-ERR" => Op::Err(rest.trim_matches('\'')),
                "MSG" | "HMSG" => {
                    let with_headers = verb == "HMSG";
                    return message(rest, with_headers, &bytes[len..])
                        .map_err(|()| wrong())
                        .map(|found| found.map(|(op, behind)| (op, len + behind)));
                }
                _ => return Err(wrong()),
            }
        }
    };
    Ok(Some((op, len)))
}

fn message<'a>(
    arguments: &'a str,
    with_headers: bool,
    behind: &'a [u8],
) -> Result<Option<(Op<'a>, usize)>, ()> {
    let parts: Vec<&str> = arguments.split(' ').collect();
    let lens = 1 + usize::from(with_headers);
    let (names, numbers) = parts.split_at_checked(parts.len().wrapping_sub(lens)).ok_or(())?;
    let (subject, sid, reply) = match names {
        [subject, sid] => (*subject, *sid, None),
        [subject, sid, reply] => (*subject, *sid, Some(*reply)),
        _ => return Err(()),
    };
    let numbers: Vec<usize> =
        numbers.iter().map(|number| number.parse().map_err(|_| ())).collect::<Result<_, ()>>()?;
    let (headers_len, len) = match numbers[..] {
        [len] => (0, len),
        [headers_len, len] if headers_len <= len => (headers_len, len),
        _ => return Err(()),
    };
    if behind.len() < len + 2 {
        return Ok(None);
    }
    if &behind[len..len + 2] != b"\r\n" {
        return Err(());
    }
    let (headers, payload) = behind[..len].split_at(headers_len);
    let delivered_at = DeliveredAt { subject, reply, headers, payload };
    Ok(Some((Op::Message { sid, delivered_at }, len + 2)))
}

/// The client id in an INFO, and whether the server is about to stop.
pub fn parse_info(json: &str) -> Result<(u64, bool), String> {
    let info: serde_json::Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let client_id = info["client_id"].as_u64().ok_or("INFO without `client_id`")?;
    Ok((client_id, info["ldm"].as_bool() == Some(true)))
}
