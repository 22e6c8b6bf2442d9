//! Newcomers between two shards: nobody is counted twice, and no place or seat is lost.

use super::*;

/// All other shards as a newcomer meets them.
#[derive(Default)]
struct Neighbours {
    /// Where newcomers are to be served.
    to: Option<ShardId>,
    /// Where those go on who were passed to this one.
    further: Option<ShardId>,
    /// Somebody who comes from another shard.
    comes: Option<Passed<()>>,
    passed: Vec<(ShardId, Passed<()>)>,
    given_up: usize,
    released: usize,
}

impl Post for Neighbours {
    fn command(&mut self, _: ShardId, _: Command) -> Result<(), Command> {
        unreachable!("nobody is in a room")
    }
    fn deliver(&mut self, _: ShardId, _: Delivery) -> Result<(), Delivery> {
        unreachable!("nobody is in a room")
    }
}

impl Others<()> for Neighbours {
    fn find_place(&mut self, _: &Newcomer) -> Found {
        self.to.map_or(Found::Here, Found::There)
    }
    fn send_on(&mut self, _: &Newcomer) -> Option<ShardId> {
        self.further
    }
    fn pass(&mut self, to: ShardId, passed: Passed<()>) {
        self.passed.push((to, passed));
    }
    fn release(&mut self) {
        self.released += 1;
    }
    fn inquire(&mut self, _: Inquiry) -> Option<Answer> {
        unreachable!("nobody is in a room")
    }
    fn make_way(&mut self, _: ShardId) -> bool {
        false
    }
    fn ship(&mut self, _: ShardId, _: Moved<()>) {}
    fn give_up(&mut self, _: ShardId) {
        self.given_up += 1;
    }
    fn look_around(&mut self) {}
    fn next_arrival(&mut self) -> Option<Arrival<()>> {
        self.comes.take().map(Arrival::Passed)
    }
}

fn newcomer() -> Newcomer {
    Newcomer { peer: SocketAddr::from(([127, 0, 0, 1], 1)), cpu: Some(3), own: false }
}

fn somebody(seat: Option<Seat>) -> Option<Passed<()>> {
    Some(Passed { socket: (), newcomer: newcomer(), seat })
}

/// A turn that bounds what sources have, and what they have.
fn turn(net: Talkers) -> (Turn<Talkers>, Arc<Sources>) {
    let config = SourceConfig { loopback: true, rate: 0, ..SourceConfig::default() };
    let sources = Arc::new(Sources::new(&config));
    let turn = Turn::new(net, Hub::new(Config::default()), SLICE_DEFAULT);
    (turn.with_sources(Arc::clone(&sources)), sources)
}

fn poll(turn: &mut Turn<Talkers>, others: &mut Neighbours) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(turn.poll(&mut cx, Now(0), others).is_ready());
}

/// What the shard has counted: accepted, passed on, and there now.
fn counted(turn: &Turn<Talkers>) -> [u64; 3] {
    let counters = turn.counters();
    [counters.accepted, counters.passed, turn.hub().live().into()]
}

#[test]
fn whoever_is_passed_on_takes_its_seat_along_and_is_counted_where_it_is_served() {
    let (mut turn, _) = turn(Talkers { watched: true, ..Talkers::default() });
    let mut others = Neighbours { to: Some(ShardId(3)), ..Neighbours::default() };
    poll(&mut turn, &mut others);
    assert_eq!(counted(&turn), [0, u64::from(TALKERS), 0]);
    let gone = |(to, passed): &(ShardId, Passed<()>)| *to == ShardId(3) && passed.seat.is_some();
    assert_eq!(others.passed.iter().filter(|one| gone(one)).count(), TALKERS as usize);
    assert_eq!((others.given_up, others.released), (0, 0));
}

#[test]
fn a_newcomer_that_the_system_lost_gives_its_place_and_seat_back() {
    let (mut turn, sources) = turn(Talkers::default());
    let mut others = Neighbours { to: Some(ShardId(3)), ..Neighbours::default() };
    poll(&mut turn, &mut others);
    assert_eq!(counted(&turn), [0, 0, 0]);
    assert_eq!((others.passed.len(), others.given_up), (0, TALKERS as usize));
    assert_eq!(sources.connections(), 0);
}

#[test]
fn somebody_who_was_passed_here_is_accepted_here() {
    let (turn, _) = turn(Talkers { quiet: true, ..Talkers::default() });
    let mut turn = turn.pinned_to(Some(2));
    let mut others = Neighbours { comes: somebody(None), ..Neighbours::default() };
    poll(&mut turn, &mut others);
    assert_eq!(counted(&turn), [1, 0, 1]);
    assert_eq!(turn.off_cpu(), 1, "its packets arrive on another CPU than this shard's");
}

#[test]
fn somebody_who_was_passed_to_a_shard_that_leaves_goes_on() {
    let (mut turn, _) = turn(Talkers { quiet: true, ..Talkers::default() });
    let (further, comes) = (Some(ShardId(5)), somebody(None));
    let mut others = Neighbours { further, comes, ..Neighbours::default() };
    poll(&mut turn, &mut others);
    assert_eq!(counted(&turn), [0, 1, 0]);
    assert_eq!((others.passed[0].0, others.released), (ShardId(5), 0));
}

#[test]
fn somebody_who_was_passed_to_a_shard_that_drains_hears_so_and_gives_all_back() {
    let (mut turn, sources) = turn(Talkers { quiet: true, ..Talkers::default() });
    let ip = newcomer().peer.ip();
    let seat = sources.admit(Now(0), ip, 0).expect("it is the first");
    assert_eq!(sources.connections(), 1);
    let mut others = Neighbours { comes: somebody(seat), ..Neighbours::default() };
    turn.drain(Now(0), &mut others);
    poll(&mut turn, &mut others);
    assert_eq!(counted(&turn), [1, 0, 1], "it waits for its request, to be refused");
    assert_eq!((others.released, sources.connections()), (1, 0));
}
