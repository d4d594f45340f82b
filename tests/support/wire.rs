//! A raw BLIP/1 connection to a broker under test.
//!
//! Used by `vectors` and `process`, which must see every single frame: this connection neither
//! reconnects nor batches nor hides an answer. A read that takes longer than [`PATIENCE`] fails the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use blipmq::protocol::decode::{self, Hello, ServerFrame, Subscribe};
use blipmq::protocol::frame::PROVISIONAL;
use blipmq::protocol::messages::{self, Header};
use blipmq::protocol::{RequestId, SubscriptionId, encode};

use super::written::{encode_messages, encode_subscribe};

/// A HELLO without credentials.
pub const HELLO: Hello<'static> = Hello { auth_kind: 0, client_name: "", user: "", password: "" };

/// Time a broker may take for anything, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A whole frame that a server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(pub Vec<u8>);

impl Frame {
    pub fn decoded(&self) -> ServerFrame<'_> {
        decode::server_frame(&self.0).expect("a server sends legal frames")
    }

    /// Header and payloads, if it is a MESSAGES frame.
    pub fn messages(&self) -> Option<(Header, Vec<&[u8]>)> {
        match self.decoded() {
            ServerFrame::Messages(header) => {
                Some((header, messages::records(&self.0).map(|record| record.payload).collect()))
            }
            _ => None,
        }
    }
}

/// Connects with a small receive buffer: soon full when the client does not read.
pub fn narrow(addr: SocketAddr) -> TcpStream {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a socket option");
    socket.connect(&addr.into()).expect("the broker listens");
    socket.into()
}

/// Sets timeouts of [`PATIENCE`] for reads and writes, and sends every write at once.
pub fn be_patient(stream: &TcpStream) {
    stream.set_nodelay(true).expect("a socket option");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
}

/// One connection.
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were returned already.
    taken: usize,
    /// The core that serves the connection, from WELCOME.
    pub core: u16,
    pings: u64,
}

impl Wire {
    /// Connects without HELLO.
    pub fn silent(addr: SocketAddr) -> Wire {
        Wire::over(TcpStream::connect(addr).expect("the broker listens"))
    }

    /// Connects without HELLO, with a small receive buffer: soon full when the client does not read.
    pub fn narrow(addr: SocketAddr) -> Wire {
        Wire::over(narrow(addr))
    }

    fn over(stream: TcpStream) -> Wire {
        be_patient(&stream);
        Wire { stream, buffer: Vec::new(), taken: 0, core: 0, pings: 0 }
    }

    /// Connects, and exchanges HELLO and WELCOME.
    pub fn connect(addr: SocketAddr) -> Wire {
        Wire::silent(addr).welcomed()
    }

    /// Sends HELLO and reads WELCOME.
    pub fn welcomed(mut self) -> Wire {
        self.send(|out| encode::hello(out, &HELLO));
        let frame = self.expect();
        match frame.decoded() {
            ServerFrame::Welcome(welcome) => self.core = welcome.core.0,
            other => panic!("WELCOME was due, got {other:?}"),
        }
        self
    }

    /// Sends what `write` appends, in one write.
    pub fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.write(&out);
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// The next frame; `None` when the broker has closed. PINGs of the broker, which come when a machine is
    /// so busy that nothing else does for long, are answered and not returned.
    pub fn next(&mut self) -> Option<Frame> {
        self.try_next().expect("a frame, or the end of the connection")
    }

    /// As `next`, for connections that the broker may cut off.
    pub fn try_next(&mut self) -> std::io::Result<Option<Frame>> {
        loop {
            let frame = self.next_of_all()?;
            match frame.as_ref().map(Frame::decoded) {
                Some(ServerFrame::Ping { opaque }) => {
                    let mut pong = Vec::new();
                    encode::pong(&mut pong, opaque);
                    // A broker that has closed already is no failure of the client.
                    let _ = self.stream.write_all(&pong);
                }
                _ => return Ok(frame),
            }
        }
    }

    /// As `try_next`, with the broker's PINGs, which are not answered.
    pub fn next_of_all(&mut self) -> std::io::Result<Option<Frame>> {
        loop {
            let rest = &self.buffer[self.taken..];
            if let Some(frame) = decode::next_frame(rest, u32::MAX).expect("a legal length") {
                let frame = Frame(frame.to_vec());
                self.taken += frame.0.len();
                return Ok(Some(frame));
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            let len = self.buffer.len();
            self.buffer.resize(len + 64 * 1_024, 0);
            let read = self.stream.read(&mut self.buffer[len..]);
            self.buffer.truncate(len + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => {
                    assert!(self.buffer.is_empty(), "the broker closed within a frame");
                    return Ok(None);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub fn expect(&mut self) -> Frame {
        self.next().expect("a frame was due, the broker closed")
    }

    /// Subscribes and waits until the subscription is active.
    pub fn subscribe(&mut self, subscription: u32, pattern: &str) {
        self.subscribe_with(subscription, pattern, 0, 0);
    }

    pub fn subscribe_with(
        &mut self,
        subscription: u32,
        pattern: &str,
        overflow: u8,
        capacity: u32,
    ) {
        self.send(|out| encode_subscribe(out, subscription, pattern, overflow, capacity));
        let frame = self.expect();
        let expected = ServerFrame::Subscribed { subscription: SubscriptionId(subscription) };
        assert_eq!(frame.decoded(), expected);
    }

    /// Subscribes with any options and waits until the subscription is active.
    pub fn subscribe_to(&mut self, subscribe: &Subscribe<'_>) {
        self.send(|out| encode::subscribe(out, subscribe));
        let frame = self.expect();
        let expected = ServerFrame::Subscribed { subscription: subscribe.subscription };
        assert_eq!(frame.decoded(), expected);
    }

    /// The same connection, to write to from another thread.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket can be shared")
    }

    /// Ends the connection by a reset: the peer may lose bytes that it has not read.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket option");
    }

    /// Opens a topic; returns its id, its next sequence and its core.
    pub fn open(&mut self, request: u32, topic: &str) -> (u32, u64, u16) {
        self.send(|out| encode::open(out, RequestId(request), topic));
        let frame = self.expect();
        match frame.decoded() {
            ServerFrame::Topic { request: answered, topic: id, next_sequence, owner, name } => {
                assert_eq!((answered.0, name), (request, topic));
                (id.0, next_sequence.0, owner.0)
            }
            other => panic!("TOPIC was due, got {other:?}"),
        }
    }

    /// Publishes without a topic id: OPEN and MESSAGES in one write.
    pub fn open_and_publish(&mut self, request: u32, topic: &str, payloads: &[&[u8]]) {
        self.send(|out| {
            encode::open(out, RequestId(request), topic);
            encode_messages(out, PROVISIONAL | request, 0, payloads);
        });
        let frame = self.expect();
        assert!(matches!(frame.decoded(), ServerFrame::Topic { .. }), "{:?}", frame.decoded());
    }

    pub fn publish(&mut self, topic: u32, payloads: &[&[u8]]) {
        self.send(|out| encode_messages(out, topic, 0, payloads));
    }

    /// Returns when the broker has served everything sent before. No other frame may come.
    pub fn ping(&mut self) {
        self.pings += 1;
        let opaque = self.pings;
        self.send(|out| encode::ping(out, opaque));
        let frame = self.expect();
        assert_eq!(frame.decoded(), ServerFrame::Pong { opaque });
    }

    /// Returns the code of the fatal ERROR that must come next, followed by the end.
    pub fn expect_fatal(&mut self) -> u16 {
        let frame = self.expect();
        let code = match frame.decoded() {
            ServerFrame::Error { fatal: true, code, text, .. } => {
                assert!(!text.is_empty(), "an ERROR says what to do");
                code
            }
            other => panic!("a fatal ERROR was due, got {other:?}"),
        };
        assert_eq!(self.next(), None, "nothing follows a fatal ERROR");
        code
    }

    /// Ends the sending side of the connection.
    pub fn finish_writing(&mut self) {
        // A broker that has closed already is no failure of the client.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
