//! From a request to the engine that does this end's part of it.

use std::sync::Arc;

use limosa_storage::Store;
use limosa_transfer::Failure;
use limosa_transfer::job::Job;
use limosa_transfer::receiver::{Admission, Destination, Receiver, ReceiverOptions, Survey};
use limosa_transfer::sender::{Destination as Awaiting, Keep, Sender, SenderConfig};
use limosa_transport::rate::RateLimits;
use limosa_wire::setup::{ContentProtection, Direction, Durability, Request, ResumeLevel};
use limosa_wire::{Code, Rate};

/// The engine of one end.
pub(crate) type SessionJob = Job;

/// The limits of a session with this target under this cap.
pub(crate) fn limits(target: Option<Rate>, cap: Rate) -> RateLimits {
    RateLimits { target, cap }
}

/// Looks at a destination on a thread that may block.
pub(crate) async fn survey(store: Arc<dyn Store>, destination: Destination) -> Result<Survey, Failure> {
    let survey = tokio::task::spawn_blocking(move || Survey::of(&*store, destination)).await;
    survey.map_err(|error| Failure::because(Code::INTERNAL, error.to_string()))?.map_err(|error| Failure::from(&error))
}

/// The sending engine of a request.
pub(crate) fn sender(
    mut config: SenderConfig,
    request: &Request,
    fresh: bool,
    credit: u64,
    limits: RateLimits,
) -> SessionJob {
    config.symlinks = request.symlinks;
    config.keep = Keep { mode: request.keep_mode, times: request.keep_times };
    config.destination = match (fresh, request.resume) {
        (true, _) => Awaiting::Fresh,
        (false, ResumeLevel::None | ResumeLevel::Attributes) => Awaiting::ComparedByAttributes,
        (false, _) => Awaiting::Compared,
    };
    config.orphan_credit = credit;
    Job::sending(Sender::new(config), limits)
}

/// The receiving engine of a request.
pub(crate) fn receiver(
    options: ReceiverOptions,
    request: &Request,
    durability: Durability,
    fresh: bool,
    umask: u32,
) -> Result<SessionJob, Failure> {
    let sealed = request.direction == Direction::Upload && request.protection != ContentProtection::None;
    let options = if sealed { options.continuing_by_front() } else { options };
    let options = options
        .with_fresh(fresh)
        .with_resume(request.resume)
        .with_overwrite(request.overwrite)
        .with_durability(durability)
        .with_session(limosa_seal::random())
        .with_admission(Admission::of(request))
        .with_default_modes(0o666 & !umask, 0o777 & !umask);
    let receiver = Receiver::new(options).map_err(|error| Failure::because(error.code(), error.to_string()))?;
    Ok(Job::receiving(receiver))
}
