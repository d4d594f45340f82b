//! Nothing between sockets and broker: all connections are in plain text.

use std::borrow::Cow;

use blipmq::broker::mesh::Message;
use blipmq::broker::{Admission, Broker, ConnectionId, Now, Peer};
use bytes::Bytes;
use executors::{Io, Ring};

use crate::relay::Between;

pub struct NoLayer;

impl Between for NoLayer {
    fn connected(
        &mut self,
        _: &mut Broker,
        _: Now,
        _: ConnectionId,
        _: Peer,
        _: (usize, Admission),
    ) -> bool {
        false
    }

    fn has(&self, _: ConnectionId) -> bool {
        false
    }

    fn received(&mut self, _: &mut Broker, _: Now, _: ConnectionId, _: &[u8]) {}

    fn sent(&mut self, _: &mut Broker, _: Now, _: ConnectionId) {}

    fn broken(&mut self, _: &mut Broker, _: Now, _: ConnectionId) {}

    fn ended(&mut self, _: &mut Broker, _: Now, _: ConnectionId) {}

    fn vanished(&mut self, _: &mut Broker, _: Now, _: ConnectionId) {}

    fn closed(&mut self, _: ConnectionId) -> Option<(Peer, Cow<'static, str>)> {
        None
    }

    fn send<R: Ring>(&mut self, _: &mut Io<Message, R>, _: ConnectionId, _: &mut Vec<Bytes>) {}

    fn close<R: Ring>(
        &mut self,
        _: &mut Io<Message, R>,
        _: executors::Now,
        _: ConnectionId,
        _: Bytes,
    ) {
    }

    fn begin_turn(&mut self, _: &mut Broker, _: Now) -> bool {
        false
    }

    fn end_turn<R: Ring>(&mut self, _: &mut Io<Message, R>, _: executors::Now) {}

    fn next_deadline(&self) -> Option<u64> {
        None
    }

    fn stop(&mut self, _: &mut Broker, _: Now) {}
}
