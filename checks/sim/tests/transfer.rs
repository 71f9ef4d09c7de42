//! Whole transfers over virtual lines: disks that stall, crawl, fill up, fail
//! and lie; sources that change; pauses and cancellations.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use limosa_sim::disk::{Disk, Effect, Fault, Speed};
use limosa_sim::job::tree::{self, Content, Tree};
use limosa_sim::job::{DESTINATION, SOURCE, Session, TransferPlan, path};
use limosa_sim::line::Side;
use limosa_sim::link::LinkSettings;
use limosa_sim::random::Seed;
use limosa_storage::{ErrorKind, FollowLinks, Operation, Store};
use limosa_transfer::job::Job;
use limosa_transfer::receiver::Limits as ReceiverLimits;
use limosa_transfer::sender::Limits as SenderLimits;
use limosa_transport::{Application, Time};
use limosa_wire::{Code, Rate};

const MIB: u64 = 1 << 20;
const MBIT: u64 = 1_000_000;
/// No session in here takes longer, in virtual time.
const LIMIT: Time = Time::from_micros(600 * 1_000_000);

const OK: [Option<Code>; 2] = [Some(Code::OK), Some(Code::OK)];

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

/// Two disks, the source with files of these sizes.
struct Rig {
    plan: TransferPlan,
    source: Disk,
    destination: Disk,
}

impl Rig {
    /// 100 Mbit/s, 40 ms there and back.
    fn new(files: &[(&str, u64)]) -> Self {
        Self::over(100, files)
    }

    fn over(megabits: u64, files: &[(&str, u64)]) -> Self {
        let (source, destination) = (Disk::new(), Disk::new());
        source.make_directory(&path(SOURCE)).unwrap();
        let random = &mut Seed(1).stream("files");
        for (name, size) in files {
            tree::plant_file(&source, &source_path(name), *size, random).unwrap();
        }
        for disk in [&source, &destination] {
            disk.settle();
            disk.set_speed(Speed::SOLID_STATE);
        }
        let link = LinkSettings::new(Rate::from_bits_per_second(megabits * MBIT), Duration::from_millis(20));
        Self { plan: TransferPlan::over(link), source, destination }
    }

    fn start(&self) -> Session {
        Session::start(&self.plan, &self.source, &self.destination, Seed(2)).unwrap()
    }

    fn wanted(&self) -> Tree {
        tree::survey(&self.source, &path(SOURCE)).unwrap().0
    }

    fn found(&self) -> Tree {
        tree::survey(&self.destination, &path(DESTINATION)).unwrap().0
    }

    fn content(&self, name: &str) -> Option<Content> {
        self.found().get(&path(name)).map(|item| item.content.clone())
    }

    /// Everything is there as it is at the source.
    #[track_caller]
    fn assert_equal(&self) {
        let content = |tree: Tree| tree.into_iter().map(|(path, item)| (path, item.as_sent())).collect::<Vec<_>>();
        assert_eq!(content(self.found()), content(self.wanted()));
    }
}

/// So little memory at the sender that a file is read as it is sent.
fn reading_late() -> SenderLimits {
    SenderLimits { memory: 4 * MIB, ..SenderLimits::default() }
}

fn source_path(name: &str) -> limosa_storage::StorePath {
    path(&format!("{SOURCE}/{name}"))
}

/// The code by which an entry failed, at either end.
fn failure(session: &Session, name: &str) -> Option<Code> {
    let machines = [Side::Near, Side::Far].map(|side| session.machine(side));
    let mut all = machines.iter().flat_map(|machine| machine.failures());
    all.find(|(path, _)| path.as_bytes().ends_with(name.as_bytes())).map(|(_, failure)| failure.code)
}

/// What became of the entries, as each end sees it.
fn describe(session: &Session) -> String {
    let one = |side| {
        let machine = session.machine(side);
        format!("{side:?}: {:?}, failed {:?}", machine.job().summary(), machine.failures())
    };
    format!("{}; {}", one(Side::Near), one(Side::Far))
}

/// Bytes that crossed the line more than once, or tried to.
fn repeated(session: &Session) -> u64 {
    let sent = session.machine(Side::Near).statistics().sent;
    sent.repeated_shed + sent.repeated_lost + sent.repeated_tail
}

#[test]
fn a_disk_that_hangs_for_ten_seconds_delays_and_loses_nothing() {
    let mut rig = Rig::new(&[("film", 40 * MIB), ("small", 1000)]);
    rig.plan.receiver = ReceiverLimits { queue: 8 * MIB, ..ReceiverLimits::default() };
    rig.destination.set_speed(Speed::SOLID_STATE.with_stall(at(1.0), Duration::from_secs(10)));
    let mut session = rig.start();
    assert_eq!(session.finish(LIMIT), OK);
    rig.assert_equal();
    let took = session.now().since(Time::ZERO);
    assert!((11.0..17.0).contains(&took.as_secs_f64()), "3.5 s of line and 10 s of nothing took {took:?}");
    let again = repeated(&session);
    assert!(again < 2 * MIB, "{again} bytes were sent again");
}

#[test]
fn a_file_that_is_slow_to_open_slows_the_sender_down() {
    let mut rig = Rig::over(400, &[("film", 80 * MIB)]);
    rig.plan.receiver = ReceiverLimits { queue: 16 * MIB, ..ReceiverLimits::default() };
    rig.destination.set_speed(Speed::SOLID_STATE.with_stall(at(0.04), Duration::from_secs(3)));
    let mut session = rig.start();
    assert_eq!(session.finish(LIMIT), OK);
    rig.assert_equal();
    assert_eq!(session.machine(Side::Near).statistics().sent.repeated_shed, 0);
}

#[test]
fn a_download_starts_as_fast_as_an_upload() {
    let arrived = |client| {
        let mut rig = Rig::over(300, &[("film", 40 * MIB)]);
        rig.plan.client = client;
        let mut session = rig.start();
        session.run_until(LIMIT, |session| session.machine(Side::Far).statistics().received.kept_bytes >= 10 * MIB);
        session.now().since(Time::ZERO)
    };
    let (upload, download) = (arrived(Side::Near), arrived(Side::Far));
    // Two round trips until the sender hears of the receiver and has its plan.
    assert!(download <= upload + Duration::from_millis(100), "{upload:?} up, {download:?} down");
}

#[test]
fn a_source_that_hangs_for_ten_seconds_delays_and_loses_nothing() {
    let rig = Rig::new(&[("film", 40 * MIB)]);
    rig.source.set_speed(Speed::SOLID_STATE.with_stall(at(1.0), Duration::from_secs(10)));
    let mut session = rig.start();
    assert_eq!(session.finish(LIMIT), OK);
    rig.assert_equal();
}

#[test]
fn the_sender_slows_down_to_a_disk_at_a_tenth_of_the_line() {
    let mut rig = Rig::over(400, &[("film", 40 * MIB)]);
    rig.plan.receiver = ReceiverLimits { queue: 8 * MIB, ..ReceiverLimits::default() };
    rig.destination.set_speed(Speed::SOLID_STATE.with_rate(Rate::from_bits_per_second(40 * MBIT)));
    let mut session = rig.start();
    let mut most = 0;
    session.run_until(LIMIT, |session| {
        most = most.max(session.machine(Side::Far).job().queue().queued);
        false
    });
    assert_eq!(session.finish(LIMIT), OK);
    rig.assert_equal();
    assert!(most <= 8 * MIB, "{most} bytes in memory");
    let again = repeated(&session);
    assert!(again < 2 * MIB, "{again} of {} bytes were sent again", 40 * MIB);
    // Each byte is written, and synced: twice at the disk's rate.
    let took = session.now().since(Time::ZERO).as_secs_f64();
    let disk = (40 * MIB * 8 * 2) as f64 / (40 * MBIT) as f64;
    assert!(took < disk * 1.2 + 1.0, "{took} s, of which the disk needs {disk}");
}

#[test]
fn a_full_disk_ends_what_does_not_fit_and_can_be_continued() {
    let rig = Rig::new(&[("a", 1000), ("b film", 30 * MIB), ("c", 2 * MIB)]);
    rig.destination.set_free(12 * MIB);
    let mut session = rig.start();
    let codes = session.finish(LIMIT);
    assert!(codes.iter().all(|code| code.is_some_and(|code| code != Code::OK)), "{codes:?}");
    assert_eq!(failure(&session, "b film"), Some(Code::NO_SPACE));
    assert!(rig.content("a").is_some(), "what fits is there");
    assert_eq!(rig.content("b film"), None, "what does not is not");
    drop(session);
    rig.destination.set_free(1 << 40);
    assert_eq!(rig.start().finish(LIMIT), OK);
    rig.assert_equal();
}

#[test]
fn a_disk_that_fills_while_a_file_comes_keeps_what_it_has() {
    let rig = Rig::new(&[("film", 30 * MIB)]);
    let mut session = rig.start();
    session.run_until(at(2.0), |_| false);
    rig.destination.set_free(MIB);
    session.finish(LIMIT);
    assert_eq!(failure(&session, "film"), Some(Code::NO_SPACE));
    drop(session);
    rig.destination.set_free(1 << 40);
    let mut again = rig.start();
    assert_eq!(again.finish(LIMIT), OK);
    rig.assert_equal();
    assert!(again.machine(Side::Far).job().summary().resumed > 5 * MIB, "what was there is not sent again");
}

#[test]
fn a_write_error_fails_its_file_alone() {
    let rig = Rig::new(&[("a", 1000), ("bad", 3 * MIB), ("c", 2 * MIB)]);
    // The first write of several blocks at once: those of the larger files.
    let errors = Fault::new(Operation::Write, Effect::Fail(ErrorKind::Io)).after(1).times(1);
    rig.destination.add_fault(errors);
    let mut session = rig.start();
    session.finish(LIMIT);
    let failed: Vec<_> = session.machine(Side::Far).failures().to_vec();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].1.code, Code::WRITE_FAILED);
    assert_eq!(rig.found().len(), 2, "the others are there");
    drop(session);
    assert_eq!(rig.start().finish(LIMIT), OK);
    rig.assert_equal();
}

#[test]
fn a_sync_error_never_lets_a_file_appear() {
    let rig = Rig::new(&[("film", 20 * MIB), ("small", 100)]);
    rig.destination.add_fault(Fault::new(Operation::Sync, Effect::Fail(ErrorKind::Io)).at(&path(DESTINATION)));
    let mut session = rig.start();
    session.finish(LIMIT);
    assert_eq!(rig.content("film"), None);
    assert_eq!(rig.content("small"), None);
    drop(session);
    rig.destination.clear_faults();
    assert_eq!(rig.start().finish(LIMIT), OK);
    rig.assert_equal();
}

#[test]
fn a_source_that_cannot_be_read_fails_alone() {
    let rig = Rig::new(&[("a", 1000), ("bad", 3 * MIB), ("worse", 500), ("z", 2 * MIB)]);
    for (name, kind) in [("bad", ErrorKind::Io), ("worse", ErrorKind::PermissionDenied)] {
        rig.source.add_fault(Fault::new(Operation::Read, Effect::Fail(kind)).at(&source_path(name)));
    }
    let mut session = rig.start();
    session.finish(LIMIT);
    assert_eq!(failure(&session, "bad"), Some(Code::READ_FAILED));
    assert_eq!(failure(&session, "worse"), Some(Code::PERMISSION_DENIED));
    assert!(rig.content("a").is_some() && rig.content("z").is_some());
    assert_eq!(rig.found().len(), 2);
    drop(session);
    rig.source.clear_faults();
    assert_eq!(rig.start().finish(LIMIT), OK);
    rig.assert_equal();
}

#[test]
fn a_directory_that_forbids_writing_fails_what_goes_there() {
    let rig = Rig::new(&[("a", 1000), ("b", 2 * MIB)]);
    let denied = Fault::new(Operation::Create, Effect::Fail(ErrorKind::PermissionDenied)).at(&path(DESTINATION));
    rig.destination.add_fault(denied);
    let mut session = rig.start();
    session.finish(LIMIT);
    assert_eq!(failure(&session, "a"), Some(Code::PERMISSION_DENIED));
    assert_eq!(failure(&session, "b"), Some(Code::PERMISSION_DENIED));
    assert!(rig.found().is_empty());
}

#[test]
fn a_disk_that_lies_is_caught_and_nothing_appears() {
    let mut rig = Rig::over(400, &[("film", 20 * MIB), ("good", 1000)]);
    // So little memory, and so much disorder, that blocks have to be written
    // in pieces and read back to be checked.
    rig.plan.receiver = ReceiverLimits { queue: 4 * MIB, ..ReceiverLimits::default() };
    rig.plan.forward.loss = 0.05;
    rig.plan.forward.delay = Duration::from_millis(150);
    rig.destination.add_fault(Fault::new(Operation::Read, Effect::FlipBit).at(&path(DESTINATION)));
    let mut session = rig.start();
    session.finish(LIMIT);
    assert_eq!(failure(&session, "film"), Some(Code::CONTENT_MISMATCH));
    assert_eq!(rig.content("film"), None, "a file that cannot be verified gets no name");
    assert!(rig.content("good").is_some());
    drop(session);
    rig.destination.clear_faults();
    assert_eq!(rig.start().finish(LIMIT), OK);
    rig.assert_equal();
}

#[test]
fn a_file_that_changes_while_it_is_sent_arrives_in_one_of_its_states() {
    let mut rig = Rig::new(&[("film", 20 * MIB), ("other", 1000)]);
    rig.plan.sender = reading_late();
    let mut session = rig.start();
    session.run_until(at(0.8), |_| false);
    rig.source.reopen(&source_path("film")).unwrap().write_at(3 * MIB, b"changed").unwrap();
    let codes = session.finish(LIMIT);
    assert_eq!(codes, OK, "it is taken again: {}", describe(&session));
    rig.assert_equal();
}

#[test]
fn a_file_that_never_stands_still_is_given_up() {
    let mut rig = Rig::new(&[("film", 20 * MIB), ("other", 1000)]);
    rig.plan.sender = reading_late();
    let mut session = rig.start();
    for tenth in 1..200_u32 {
        session.run_until(at(f64::from(tenth) / 10.0), |_| false);
        rig.source.reopen(&source_path("film")).unwrap().write_at(3 * MIB, &tenth.to_le_bytes()).unwrap();
    }
    session.finish(LIMIT);
    assert_eq!(failure(&session, "film"), Some(Code::SOURCE_CHANGED));
    assert_eq!(rig.content("film"), None);
    assert!(rig.content("other").is_some());
}

#[test]
fn a_file_that_vanishes_while_it_is_sent_fails_alone() {
    let mut rig = Rig::new(&[("a film", 20 * MIB), ("film", 20 * MIB), ("other", 1000)]);
    rig.plan.sender = SenderLimits { open_files: 1, ..reading_late() };
    let mut session = rig.start();
    session.run_until(at(0.5), |_| false);
    rig.source.remove(&source_path("film")).unwrap();
    session.finish(LIMIT);
    let code = failure(&session, "film");
    assert_eq!(code, Some(Code::SOURCE_VANISHED), "{}", describe(&session));
    assert_eq!(rig.content("film"), None);
    rig.assert_equal();
}

#[test]
fn a_pause_holds_all_data_back_and_ends_when_told() {
    for side in [Side::Near, Side::Far] {
        let rig = Rig::new(&[("film", 20 * MIB)]);
        let mut session = rig.start();
        session.run_until(at(0.5), |_| false);
        session.with_machine(side, |machine, _| machine.order(Job::pause));
        session.run_until(at(1.5), |_| false);
        let crossed = |session: &Session| session.machine(Side::Far).statistics().received.kept_bytes;
        let before = crossed(&session);
        session.run_until(at(121.5), |_| false);
        assert_eq!(crossed(&session), before, "two minutes, and nothing crosses");
        session.with_machine(side, |machine, _| machine.order(Job::resume));
        assert_eq!(session.finish(LIMIT), OK);
        rig.assert_equal();
    }
}

#[test]
fn a_cancelled_transfer_goes_on_where_it_was() {
    for side in [Side::Near, Side::Far] {
        let rig = Rig::new(&[("film", 20 * MIB), ("other", 1000)]);
        let mut session = rig.start();
        session.run_until(at(1.2), |_| false);
        session.with_machine(side, |machine, now| machine.order(|job, _| job.cancel(now, Code::CANCELLED)));
        let codes = session.finish(LIMIT);
        assert_eq!(codes, [Some(Code::CANCELLED); 2], "cancelled {side:?}");
        assert!(session.now() < at(15.0), "at once");
        drop(session);
        let mut again = rig.start();
        assert_eq!(again.finish(LIMIT), OK);
        rig.assert_equal();
        let resumed = again.machine(Side::Far).job().summary().resumed;
        assert!(resumed > 6 * MIB, "{resumed} bytes were kept");
    }
}

#[test]
fn a_crash_costs_at_most_what_was_promised() {
    let size = 200 * MIB;
    let mut rig = Rig::over(200, &[("film", size)]);
    let mut session = rig.start();
    session.run_until(at(6.0), |_| false);
    let first = session.machine(Side::Far).statistics().received.kept_bytes;
    drop(session);
    rig.destination = rig.destination.lose_power(Seed(3));
    rig.destination.set_speed(Speed::SOLID_STATE);
    let mut again = rig.start();
    assert_eq!(again.finish(LIMIT), OK);
    rig.assert_equal();
    let second = again.machine(Side::Far).statistics().received.kept_bytes;
    let twice = first + second - size;
    assert!(first > 100 * MIB, "{first} bytes had arrived");
    assert!(twice <= 64 * MIB, "{} MiB were sent twice", twice / MIB);
}

#[test]
fn a_line_that_breaks_is_taken_up_by_a_new_session() {
    let rig = Rig::new(&[("film", 20 * MIB)]);
    let mut session = rig.start();
    session.network_mut().at(at(1.2), |now, line| {
        for side in [Side::Near, Side::Far] {
            line.link_mut(side).change(now, |settings| settings.blackout = true);
        }
    });
    assert_eq!(session.finish(LIMIT), [Some(Code::PEER_SILENT); 2]);
    drop(session);
    let mut again = rig.start();
    assert_eq!(again.finish(LIMIT), OK);
    rig.assert_equal();
    assert!(again.machine(Side::Far).job().summary().resumed > 6 * MIB);
}

/// The file in the destination whose name ends like this.
fn hidden(disk: &Disk, suffix: &str) -> Option<limosa_storage::StorePath> {
    let page = disk.list(&path(DESTINATION), None, 100).unwrap();
    let mut names = page.entries.into_iter().map(|entry| entry.name);
    let name = names.find(|name| name.as_bytes().ends_with(suffix.as_bytes()))?;
    Some(path(DESTINATION).join(&name).unwrap())
}

/// A destination where a killed session has emptied the journal of a partial
/// file that somebody removed, and has not synced that.
fn with_emptied_journal(rig: &mut Rig) {
    let mut first = rig.start();
    first.run_until(at(1.3), |_| false);
    drop(first);
    rig.destination = rig.destination.kill();
    rig.destination.remove(&hidden(&rig.destination, ".partial").unwrap()).unwrap();
    rig.destination.settle();
    let journal = hidden(&rig.destination, ".journal").unwrap();
    let length = |disk: &Disk| disk.metadata(&journal, FollowLinks::No).unwrap().size;
    assert!(length(&rig.destination) > 200, "the journal says something");
    for operations in 0..100 {
        rig.destination.stop_after(operations);
        if let Ok(mut session) = Session::start(&rig.plan, &rig.source, &rig.destination, Seed(operations)) {
            session.run_until(LIMIT, Session::is_broken);
        }
        rig.destination = rig.destination.kill();
        if length(&rig.destination) == 0 {
            return;
        }
    }
    panic!("the journal is never emptied");
}

#[test]
fn a_journal_never_speaks_for_a_file_that_came_after_it() {
    for seed in 0..12 {
        let mut rig = Rig::new(&[("film", 24 * MIB)]);
        with_emptied_journal(&mut rig);
        rig.plan.forward.rate = Rate::from_bits_per_second(1000 * MBIT);
        let mut session = rig.start();
        session.run_until(at(0.8), |session| session.machine(Side::Far).statistics().received.kept_bytes > 20 * MIB);
        drop(session);
        rig.destination = rig.destination.lose_power(Seed(seed));
        assert_eq!(rig.start().finish(LIMIT), OK);
        rig.assert_equal();
    }
}
