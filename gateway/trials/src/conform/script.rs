//! How cases are written: what is said and heard, one after the other.

use super::case::{Cut, Expected, Kind, Message, Step};
use super::opening::{Answer, Opening, Request, Route};
use super::payload::Payload;
use crate::raw::{Frame, opcode};

/// A case that has no number yet.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) opening: Opening,
    pub(super) steps: Vec<Step>,
}

impl Script {
    /// Begins with this request, whose handshake succeeds.
    pub(super) fn after(request: &Request) -> Self {
        let key = request.key.clone();
        let answer = Answer::Switched { key, subprotocol: None, deflate: None };
        Self::with(request.bytes(), answer)
    }

    /// Begins with these bytes, which are answered so.
    pub(super) fn with(request: Vec<u8>, answer: Answer) -> Self {
        Self { opening: Opening { request, cut: Cut::Whole, answer }, steps: Vec::new() }
    }

    /// Begins with a plain request to this route.
    pub(super) fn on(route: Route) -> Self {
        Self::after(&Request::to(route, 1))
    }

    /// Begins on `/ws/simple`, without compression.
    pub(super) fn new() -> Self {
        Self::on(Route::Simple)
    }

    /// Begins with permessage-deflate agreed on, without a context on either side.
    pub(super) fn deflated() -> Self {
        Self::offering(
            Route::Simple,
            "permessage-deflate",
            &["server_no_context_takeover", "client_no_context_takeover"],
        )
    }

    /// Begins with this offer, which is answered with these parameters.
    pub(super) fn offering(route: Route, offer: &str, agreed: &[&'static str]) -> Self {
        let offer = format!("Sec-WebSocket-Extensions: {offer}");
        let mut script = Self::after(&Request::to(route, 2).and(offer));
        if let Answer::Switched { deflate, .. } = &mut script.opening.answer {
            *deflate = Some(agreed.to_vec());
        }
        script
    }

    /// With this subprotocol picked.
    pub(super) fn picking(mut self, name: &'static str) -> Self {
        if let Answer::Switched { subprotocol, .. } = &mut self.opening.answer {
            *subprotocol = Some(name);
        }
        self
    }

    /// The request in pieces of so many bytes.
    pub(super) fn request_in_pieces(mut self, bytes: usize) -> Self {
        self.opening.cut = Cut::Pieces(bytes);
        self
    }

    /// A frame is said, in the same write as the ones before it that nothing was heard between.
    pub(super) fn say(self, frame: &Frame) -> Self {
        self.say_bytes(&frame.to_bytes())
    }

    /// Bytes are said, in the same write as those before.
    pub(super) fn say_bytes(mut self, bytes: &[u8]) -> Self {
        if let Some(Step::Say(said, Cut::Whole)) = self.steps.last_mut() {
            said.extend(bytes);
        } else {
            self.steps.push(Step::Say(bytes.to_vec(), Cut::Whole));
        }
        self
    }

    /// What is said last is said in pieces of so many bytes.
    ///
    /// # Panics
    /// If nothing is said last.
    pub(super) fn in_pieces(mut self, bytes: usize) -> Self {
        let Some(Step::Say(_, cut) | Step::Tell(_, cut)) = self.steps.last_mut() else {
            panic!("only what is said can be cut")
        };
        *cut = Cut::Pieces(bytes);
        self
    }

    /// A message is said.
    pub(super) fn tell(mut self, message: Message) -> Self {
        self.steps.push(Step::Tell(message, Cut::Whole));
        self
    }

    /// Nothing more is said.
    pub(super) fn hang_up(mut self) -> Self {
        self.steps.push(Step::HangUp);
        self
    }

    /// This comes next.
    pub(super) fn hear(mut self, expected: Expected) -> Self {
        self.steps.push(Step::Hear(expected));
        self
    }

    /// A text comes next.
    pub(super) fn text(self, payload: impl Into<Payload>) -> Self {
        self.hear(Expected::Message(Kind::Text, payload.into()))
    }

    /// A binary message comes next.
    pub(super) fn binary(self, payload: impl Into<Payload>) -> Self {
        self.hear(Expected::Message(Kind::Binary, payload.into()))
    }

    /// A pong comes next.
    pub(super) fn pong(self, payload: impl Into<Vec<u8>>) -> Self {
        self.hear(Expected::Pong(payload.into()))
    }

    /// A close frame with this code comes next, and the end.
    pub(super) fn closed(self, code: u16) -> Self {
        self.hear(Expected::Close(vec![code])).hear(Expected::End)
    }

    /// Says goodbye, and is told the same: so nothing else was left to be heard.
    pub(super) fn bye(self) -> Self {
        self.say(&Frame::close(1000, b"")).closed(1000)
    }

    /// Says a message in one frame, or in fragments of so many bytes, and hears it again.
    pub(super) fn echo(self, message: Message) -> Self {
        let expected = Expected::Message(message.kind, message.payload.clone());
        self.tell(message).hear(expected)
    }
}

impl Message {
    pub(super) fn text(payload: impl Into<Payload>) -> Self {
        Self { kind: Kind::Text, payload: payload.into(), fragment_bytes: None, deflated: false }
    }

    pub(super) fn binary(payload: impl Into<Payload>) -> Self {
        Self { kind: Kind::Binary, ..Self::text(payload) }
    }

    /// In fragments of so many bytes.
    pub(super) fn in_fragments(self, bytes: usize) -> Self {
        Self { fragment_bytes: Some(bytes), ..self }
    }

    pub(super) fn deflated(self) -> Self {
        Self { deflated: true, ..self }
    }
}

impl Kind {
    pub(super) const BOTH: [Self; 2] = [Self::Text, Self::Binary];

    pub(super) fn opcode(self) -> u8 {
        match self {
            Self::Text => opcode::TEXT,
            Self::Binary => opcode::BINARY,
        }
    }

    /// The first frame of a message of this kind.
    pub(super) fn frame(self, payload: impl Into<Vec<u8>>) -> Frame {
        Frame::new(self.opcode(), payload)
    }
}

/// The frames of a message whose payload is cut into these parts.
pub(super) fn fragments<P: AsRef<[u8]>>(kind: Kind, parts: &[P]) -> Vec<Frame> {
    let count = parts.len();
    let frames = parts.iter().enumerate().map(|(at, part)| Frame {
        fin: at + 1 == count,
        ..Frame::new(if at == 0 { kind.opcode() } else { opcode::CONTINUATION }, part.as_ref())
    });
    frames.collect()
}
