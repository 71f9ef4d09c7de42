use super::*;
use crate::datagram::Udp;
use crate::link::LinkSettings;
use crate::random::Seed;
use limosa_wire::Rate;

/// Sends a datagram every millisecond; remembers what came from where.
#[derive(Debug, Default)]
struct Ticker {
    sends: u32,
    due: Time,
    to: Option<Address>,
    heard: Vec<(Time, Address)>,
}

impl Endpoint for Ticker {
    type Datagram = Udp;

    fn handle(&mut self, now: Time, from: Address, _: Udp) {
        self.heard.push((now, from));
    }

    fn on_timeout(&mut self, now: Time) {
        self.due = self.due.max(now);
    }

    fn transmit(&mut self, now: Time) -> Option<Transmit<Udp>> {
        if self.sends == 0 || now < self.due {
            return None;
        }
        self.sends -= 1;
        self.due = now + Duration::from_millis(1);
        Some(Transmit { to: self.to, datagram: Udp::real(vec![0; 97]) })
    }

    fn next_timeout(&self) -> Option<Time> {
        (self.sends > 0).then_some(self.due)
    }
}

fn ticker(sends: u32) -> Ticker {
    Ticker { sends, ..Ticker::default() }
}

/// 1 Mbit/s: 125 bytes take 1 ms; 9 ms of delay.
fn network() -> Network<Ticker> {
    let settings = LinkSettings::new(Rate::from_bits_per_second(1_000_000), Duration::from_millis(9));
    Network::new(Line::new(settings.clone(), settings, Seed(1)))
}

const SECOND: Time = Time::from_nanos(1_000_000_000);

fn arrivals(network: &Network<Ticker>, flow: u32, side: Side) -> Vec<u64> {
    let heard = &network.endpoint(flow, side).heard;
    heard.iter().map(|(at, _)| at.micros()).collect()
}

#[test]
fn datagrams_cross_both_ways_with_the_access_delay_of_their_flow() {
    let mut network = network();
    let far = FlowSettings { access_delay: Duration::from_millis(5), ..FlowSettings::default() };
    network.add_flow(ticker(2), ticker(1), FlowSettings::default());
    network.add_flow(ticker(0), ticker(0), far);
    network.run_until(SECOND);
    assert_eq!(arrivals(&network, 0, Side::Far), [10_000, 11_000]);
    assert_eq!(arrivals(&network, 0, Side::Near), [10_000]);
    network.with_endpoint(1, Side::Near, |endpoint, _| endpoint.sends = 1);
    network.run_until(SECOND + Duration::from_secs(1));
    assert_eq!(arrivals(&network, 1, Side::Far), [1_015_000]);
}

#[test]
fn flows_start_and_stop_when_told() {
    let mut network = network();
    let settings = FlowSettings {
        start: Time::from_micros(100_000),
        stop: Some(Time::from_micros(103_500)),
        ..FlowSettings::default()
    };
    network.add_flow(ticker(100), ticker(0), settings);
    network.run_until(SECOND);
    assert_eq!(network.line().link(Side::Near).counters().offered.packets, 4);
    // What arrives after the end is not heard any more.
    assert_eq!(arrivals(&network, 0, Side::Far), [] as [u64; 0]);
}

#[test]
fn a_rebound_side_is_known_by_its_new_address_only() {
    let mut network = network();
    let flow = network.add_flow(ticker(3), ticker(0), FlowSettings::default());
    let old = network.line().address(flow, Side::Near);
    network.at(Time::from_micros(1_500), move |_, line| line.rebind(flow, Side::Near));
    network.run_until(SECOND);
    let bindings: Vec<u32> = network.endpoint(flow, Side::Far).heard.iter().map(|(_, from)| from.binding).collect();
    assert_eq!(bindings, [0, 0, 1]);

    let answer = |to| move |endpoint: &mut Ticker, _: Time| (endpoint.to, endpoint.sends) = (to, 1);
    network.with_endpoint(flow, Side::Far, answer(Some(old)));
    network.run_until(SECOND + Duration::from_secs(1));
    assert_eq!((arrivals(&network, flow, Side::Near).len(), network.line().misaddressed(flow)), (0, 1));
    network.with_endpoint(flow, Side::Far, answer(None));
    network.run_until(SECOND + Duration::from_secs(2));
    assert_eq!(arrivals(&network, flow, Side::Near).len(), 1);
}

#[test]
fn changes_of_one_moment_happen_in_the_order_they_were_added() {
    let mut network = network();
    for mtu in [900, 800] {
        network.at(Time::from_micros(5), move |now, line| {
            line.link_mut(Side::Near).change(now, |settings| settings.mtu = mtu);
        });
    }
    network.at(Time::from_micros(1), |now, line| {
        line.link_mut(Side::Near).change(now, |settings| settings.mtu = 700);
    });
    network.run_until(Time::from_micros(2));
    assert_eq!(network.line().link(Side::Near).settings().mtu, 700);
    network.run_until(SECOND);
    assert_eq!(network.line().link(Side::Near).settings().mtu, 800);
}
