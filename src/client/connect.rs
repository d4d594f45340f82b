//! A connection from nothing to WELCOME, and its two threads.
//!
//! Called by `ClientOptions::connect`, and by `reconnect` for each further connection. Next on the path:
//! `reader` and `writer`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Inner;
use crate::conversation::Conversation;
use crate::endpoint::Endpoint;
use crate::events::EventQueue;
use crate::link::Link;
use crate::options::Credentials;
use crate::read_buffer::ReadBuffer;
use crate::reconnect::Plan;
use crate::shared::Shared;
use crate::{Client, ClientError, ClientOptions, ServerError, ServerInfo, reader, writer};
use blipmq_protocol::decode::{Hello, ServerFrame, server_frame};
use blipmq_protocol::encode;
use blipmq_protocol::limits;

/// The first frame of a server may be an ERROR, whose text has a length of 16 bits.
const FIRST_FRAME_LEN_MAX: u32 = 70_000;
/// Longest frame that any broker can announce. A frame's memory is allocated before its bytes arrive, so
/// what a server announces is not taken on trust.
const FRAME_LEN_LIMIT: u32 = limits::frame_len_max(limits::MESSAGE_LEN_MAX);
/// Time after which an idle connection is probed, so that a subscriber notices a machine that is gone.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Time between probes; the system's default number of them (9) then ends the connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Time between two PONGs that nobody asked for, while the client cannot read PINGs because its caller
/// receives nothing.
const HEARD_INTERVAL: Duration = Duration::from_secs(1);

/// A connection on which the broker has sent WELCOME.
pub(crate) struct Welcomed {
    pub(crate) link: Link,
    /// The bytes that were read behind WELCOME.
    pub(crate) buffer: ReadBuffer,
    pub(crate) server: ServerInfo,
}

pub(crate) fn connect(options: &ClientOptions, addr: &str) -> Result<Client, ClientError> {
    // Beside its header, HELLO has magic, version, auth kind and three lengths; the name has the rest.
    let name_len_max = limits::HELLO_LEN_MAX as usize - limits::FRAME_HEADER_LEN - 8 - 3 * 2;
    if options.name.len() > name_len_max {
        return Err(ClientError::NameTooLong { len: options.name.len(), len_max: name_len_max });
    }
    let endpoint = Endpoint::new(options, addr)?;
    let Welcomed { link, buffer, server } = open(options, &endpoint)?;
    let shared = Arc::new(Shared::new(
        Conversation::new(Arc::new(server), options, random()),
        EventQueue::new(options.events_max, options.event_bytes_max, HEARD_INTERVAL),
        link,
        options.request_timeout,
    ));
    let plan =
        options.reconnect.clone().map(|policy| Plan { options: options.clone(), endpoint, policy });
    let inner = Inner { shared: shared.clone(), threads: Mutex::default() };
    let reading = shared.clone();
    inner.start("blipmq-read", move || reader::run(&reading, buffer, plan.as_ref()))?;
    inner.start("blipmq-write", move || writer::run(&shared))?;
    Ok(Client { inner: Arc::new(inner) })
}

/// Connects, and returns when the broker has sent WELCOME.
pub(crate) fn open(options: &ClientOptions, endpoint: &Endpoint) -> Result<Welcomed, ClientError> {
    let link = endpoint.link(open_socket(options, endpoint)?, options)?;
    let mut buffer = ReadBuffer::new();
    match say_hello(options, &endpoint.addr, &link, &mut buffer) {
        Ok(server) => Ok(Welcomed { link, buffer, server }),
        Err(error) => {
            link.shut_down();
            Err(endpoint.explain(error))
        }
    }
}

impl Inner {
    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ClientError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| {
            // The thread that runs must not wait for the one that does not.
            self.shared.end(ClientError::Closed);
            ClientError::NoThread(Arc::new(error))
        })?;
        self.threads.lock().expect("nothing panics while it holds the threads").push(thread);
        Ok(())
    }
}

fn open_socket(options: &ClientOptions, endpoint: &Endpoint) -> Result<TcpStream, ClientError> {
    let addr = &endpoint.addr;
    let bad_address =
        |cause| ClientError::BadAddress { addr: addr.to_owned(), cause: Arc::new(cause) };
    let cannot_connect =
        |cause| ClientError::CannotConnect { addr: addr.to_owned(), cause: Arc::new(cause) };
    let mut last = None;
    for address in endpoint.host_and_port.to_socket_addrs().map_err(bad_address)? {
        match TcpStream::connect_timeout(&address, options.connect_timeout) {
            Ok(stream) => {
                set_up_socket(&stream).map_err(cannot_connect)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(cause) => cannot_connect(cause),
        None => bad_address(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
    })
}

fn set_up_socket(stream: &TcpStream) -> io::Result<()> {
    // The client makes batches itself, of what was published during a write: the kernel need not wait.
    stream.set_nodelay(true)?;
    let keepalive =
        socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

fn say_hello(
    options: &ClientOptions,
    addr: &str,
    link: &Link,
    buffer: &mut ReadBuffer,
) -> Result<ServerInfo, ClientError> {
    let lost = |error| ClientError::ConnectionLost(Arc::new(error));
    let mut hello = Vec::new();
    let name = options.name.as_str();
    let (auth_kind, user, password) = match &options.credentials {
        Credentials::None => (0, "", ""),
        Credentials::Token(token) => (1, token.as_str(), ""),
        Credentials::Password { user, password } => (2, user.as_str(), password.as_str()),
    };
    encode::hello(&mut hello, &Hello { auth_kind, client_name: name, user, password });
    // A server that has refused the client already may take no bytes; its reason is still to be read.
    let _ = link.send(&hello, &mut || ());
    let started = Instant::now();
    let frame = loop {
        if let Some(frame) =
            buffer.take_frame(FIRST_FRAME_LEN_MAX).map_err(ClientError::malformed)?
        {
            break frame;
        }
        let no_welcome =
            || ClientError::NoWelcome { addr: addr.to_owned(), waited: options.connect_timeout };
        let left = options.connect_timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(no_welcome());
        }
        link.socket().set_read_timeout(Some(left)).map_err(lost)?;
        match buffer.fill(&mut &*link) {
            Ok(0) => return Err(ClientError::ClosedByServer { goodbye: None }),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                return Err(no_welcome());
            }
            Err(error) => return Err(lost(error)),
        }
    };
    link.socket().set_read_timeout(None).map_err(lost)?;
    match server_frame(&frame).map_err(ClientError::malformed)? {
        ServerFrame::Welcome(welcome) => Ok(ServerInfo {
            server: welcome.server.into(),
            server_id: welcome.server_id,
            core: welcome.core.0,
            cores: welcome.cores,
            shards: welcome.shards,
            message_len_max: welcome.message_len_max.min(limits::MESSAGE_LEN_MAX),
            frame_len_max: welcome.frame_len_max.min(FRAME_LEN_LIMIT),
        }),
        ServerFrame::Error { code, text, .. } => {
            Err(ClientError::EndedByServer(ServerError { code, text: text.to_owned() }))
        }
        _ => Err(ClientError::Unexpected(format!(
            "WELCOME was due, and a frame of kind 0x{:02x} came",
            frame[4]
        ))),
    }
}

/// Returns a random number. Not for secrets: for names that must not collide, and for jitter.
pub(crate) fn random() -> u64 {
    // Every `RandomState` is seeded by the system's randomness.
    RandomState::new().build_hasher().finish()
}
