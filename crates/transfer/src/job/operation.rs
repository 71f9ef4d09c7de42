//! File operations of either end, and carrying them out.

use limosa_storage::Store;

use crate::receiver::operation::DestinationDone;
use crate::receiver::{self, DestinationOperation, Ticket};
use crate::sender::{self, SourceDone, SourceOperation};

/// A file operation of one end.
#[derive(Debug)]
pub enum JobOperation {
    /// Of a sending end.
    Source(SourceOperation),
    /// Of a receiving end.
    Destination(DestinationOperation),
}

/// What came of a [`JobOperation`].
#[derive(Debug)]
pub enum JobDone {
    /// Of a sending end.
    Source(SourceDone),
    /// Of a receiving end.
    Destination(Ticket, DestinationDone),
}

/// Carries out one operation. Blocks: for a thread that may.
#[must_use]
pub fn perform(store: &dyn Store, operation: JobOperation) -> JobDone {
    match operation {
        JobOperation::Source(operation) => JobDone::Source(sender::perform(store, operation)),
        JobOperation::Destination(DestinationOperation { ticket, work }) => {
            JobDone::Destination(ticket, receiver::perform(store, work))
        }
    }
}
