use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// A request body that comes when the test says so, and ends when the sender is dropped.
pub(crate) struct Pipe(Receiver<Bytes>);

impl Pipe {
    pub(crate) fn new() -> (Sender<Bytes>, Self) {
        let (sender, receiver) = channel(4);
        (sender, Self(receiver))
    }
}

impl Body for Pipe {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
