//! Bytes of a connection to frames, and each frame to what serves it.

use super::{Client, Doors, Served, Shared};
use crate::broker::connections::Phase;
use crate::broker::ids::Slot;
use crate::limits;
use crate::protocol::decode::{self, ClientFrame};
use crate::protocol::{Reject, encode};

impl Client {
    /// Serves the frame at the start of `bytes`, and for MESSAGES those that can go with it.
    pub(super) fn serve_frame(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        bytes: &[u8],
    ) -> Served {
        let message_len_max = doors.settings().server.max_message_size_bytes;
        let frame_len_max = limits::frame_len_max(message_len_max);
        let found = match doors.connections.at(slot).phase() {
            Phase::Finishing | Phase::Closing => return Served::Discards,
            _ if has_to_wait(doors, slot, bytes, frame_len_max) => return Served::Waits,
            Phase::AwaitHello => decode::next_hello(bytes),
            Phase::Open => decode::next_frame(bytes, frame_len_max),
        };
        let served = found.and_then(|frame| match frame {
            None => Ok(None),
            Some(frame) => {
                let decoded = decode::client_frame(frame, message_len_max)?;
                self.serve_decoded(shared, doors, slot, (bytes, frame.len()), decoded)
            }
        });
        match served {
            Ok(Some(len)) => Served::Took(len),
            Ok(None) => Served::Waits,
            Err(reject) => {
                self.reject(doors, slot, &reject);
                if reject.is_fatal() {
                    return Served::Discards;
                }
                // A refused frame was whole: its length is right, only its wish was not.
                let frame = decode::next_frame(bytes, frame_len_max).ok().flatten();
                Served::Took(frame.expect("refusals that go on are of whole frames").len())
            }
        }
    }

    /// Serves a frame. Returns how many bytes were served, for MESSAGES those of a whole run; `None`
    /// if the frame has to wait.
    fn serve_decoded(
        &mut self,
        shared: &mut Shared,
        doors: &mut Doors<'_>,
        slot: Slot,
        (bytes, frame_len): (&[u8], usize),
        decoded: ClientFrame<'_>,
    ) -> Result<Option<usize>, Reject> {
        let asks = matches!(
            decoded,
            ClientFrame::Open { .. } | ClientFrame::Subscribe(_) | ClientFrame::Unsubscribe { .. }
        );
        let subscribes = matches!(decoded, ClientFrame::Subscribe(_));
        if (asks && doors.hold_for_requests(slot)) || (subscribes && doors.hold_for_memory(slot)) {
            return Ok(None);
        }
        match decoded {
            ClientFrame::Messages(header) => return self.publish(doors, slot, bytes, &header),
            ClientFrame::Hello(hello) => self.hello(doors, slot, &hello)?,
            ClientFrame::Open { request, topic } => {
                self.open(shared, doors, slot, request, topic)?;
            }
            ClientFrame::Subscribe(subscribe) => self.subscribe(doors, slot, subscribe)?,
            ClientFrame::Unsubscribe { subscription } => {
                self.unsubscribe(doors, slot, subscription)?;
            }
            ClientFrame::Ping { opaque } => doors.answer(slot, |out| encode::pong(out, opaque)),
            // Whatever a client sends is its sign of life; an answer to no question does no harm.
            ClientFrame::Pong { .. } => {}
            ClientFrame::Close => {
                doors.connections.get(slot).finish();
                doors.connections.note_finishing(slot);
            }
        }
        Ok(Some(frame_len))
    }
}

/// Whether a connection's next frame has to wait, and if so puts the connection where it waits.
fn has_to_wait(doors: &mut Doors<'_>, slot: Slot, bytes: &[u8], frame_len_max: u32) -> bool {
    let has_room = doors.ingest.has_room();
    doors.connections.hold_if_full_of_answers(slot);
    let connection = doors.connections.at(slot);
    if connection.held_for().is_some() || connection.is_logging_in() {
        return true;
    }
    // A frame that is not whole yet waits by itself; one that is too long will never be.
    if !has_room && matches!(decode::next_frame(bytes, frame_len_max), Ok(Some(_)) | Err(_)) {
        doors.connections.leave_for_later(slot);
    }
    !has_room
}
