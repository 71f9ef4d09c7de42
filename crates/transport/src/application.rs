//! What a connection carries: asked for bytes to send, handed what arrives.

use limosa_wire::Offset;
use limosa_wire::frame::StreamId;

/// What became of bytes handed over by [`Application::deliver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Taken over.
    Kept,
    /// They were there already.
    Duplicate,
    /// There is no room: they are to be sent again, which is no loss of the
    /// path.
    Shed,
}

/// How full the receiving application is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Bytes waiting for the disk.
    pub queued: u64,
    /// How many may wait.
    pub capacity: u64,
    /// Bytes that have reached the disk (or were found needless) in all.
    pub drained: u64,
}

/// The application above a connection. Calls never block: bytes that are not
/// in memory are fetched elsewhere and asked for again.
///
/// Bytes to be sent are announced by `Connection::offer` when they may leave;
/// from then until [`Self::acknowledged`] the application must be able to
/// produce them again.
pub trait Application {
    /// Copies bytes of the linear space at `offset` into `out`, as many as are
    /// in memory, and returns how many. Zero means "not now": the application
    /// fetches them and the connection asks again, later.
    fn fill(&mut self, offset: Offset, out: &mut [u8]) -> usize;

    /// The peer has these bytes.
    fn acknowledged(&mut self, offset: Offset, length: u64);

    /// Bytes of the linear space arrived, in any order, perhaps repeatedly.
    fn deliver(&mut self, offset: Offset, bytes: &[u8]) -> Delivery;

    /// How full the application is.
    fn queue(&self) -> QueueState;

    /// The next bytes of a stream arrived, in order, each once.
    fn stream(&mut self, stream: StreamId, bytes: &[u8]);
}
