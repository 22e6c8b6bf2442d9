//! What the hosts of one run share: the book, the network, and what each is told to do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use gateway::local::LocalNode;
use tokio::sync::Notify;

use super::fault::{Fault, Kind};
use super::ledger::Ledger;
use super::setting::Setting;
use crate::counts::Group;
use crate::simnet::SimNet;
use crate::traced::{Trace, Traced};
use crate::wires::Wires;

/// A node of the run.
pub(super) type Node = LocalNode<Traced<SimNet>>;

/// Where nodes listen.
pub(super) const PORT: u16 = 9000;

/// What all hosts of a run share. Everything is on one thread.
pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) wires: Wires,
    pub(super) ledger: RefCell<Ledger>,
    pub(super) nodes: Vec<NodeState>,
    pub(super) clients: Vec<Mailbox<ClientOrder>>,
    /// By client host and node: the fault that the link between them has now.
    links: RefCell<Vec<Option<Kind>>>,
    /// Nobody comes any more.
    over: Cell<bool>,
}

/// What is known of a node from outside.
#[derive(Default)]
pub(super) struct NodeState {
    pub(super) orders: Mailbox<NodeOrder>,
    /// The process that runs or ran last, counted from one.
    pub(super) incarnation: Cell<u32>,
    /// While it serves.
    pub(super) node: RefCell<Option<Node>>,
    pub(super) traces: RefCell<Vec<Trace>>,
    /// Connections to the present process that are no client's.
    pub(super) strangers: Cell<u64>,
    /// It has ended and does not come again.
    pub(super) ended: Cell<bool>,
}

/// What a node is told.
#[derive(Clone, Debug)]
pub(super) enum NodeOrder {
    /// A fault that its own process carries out.
    Fault(Fault),
    /// It drains, and does not come again.
    End,
}

/// What a client is told.
#[derive(Clone, Debug)]
pub(super) enum ClientOrder {
    /// A fault of its own, or a storm of its node's.
    Fault(Fault),
    /// It asks for a sign that its connection is whole.
    Prove,
    /// It says something.
    Speak,
    /// It asks who is there.
    Ask,
}

/// Orders for a task on some host.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    queue: RefCell<VecDeque<T>>,
    bell: Notify,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { queue: RefCell::default(), bell: Notify::new() }
    }
}

impl<T> Mailbox<T> {
    pub(super) fn post(&self, order: T) {
        self.queue.borrow_mut().push_back(order);
        self.bell.notify_one();
    }

    /// The next order. Being dropped before it has come loses nothing.
    pub(super) async fn next(&self) -> T {
        loop {
            if let Some(order) = self.take() {
                return order;
            }
            self.bell.notified().await;
        }
    }

    pub(super) fn take(&self) -> Option<T> {
        self.queue.borrow_mut().pop_front()
    }
}

impl World {
    pub(super) fn new(setting: Setting, ledger: Ledger, clients: usize) -> Rc<Self> {
        Rc::new(Self {
            wires: Wires::new(setting.wire_options()),
            ledger: RefCell::new(ledger),
            nodes: (0..setting.nodes).map(|_| NodeState::default()).collect(),
            clients: (0..clients).map(|_| Mailbox::default()).collect(),
            links: RefCell::new(vec![None; setting.nodes * setting.client_hosts]),
            over: Cell::new(false),
            setting,
        })
    }

    /// Changes the book.
    pub(super) fn tell<T>(&self, tell: impl FnOnce(&mut Ledger) -> T) -> T {
        tell(&mut self.ledger.borrow_mut())
    }

    /// A fault has taken effect.
    pub(super) fn struck(&self, fault: &Fault) {
        self.tell(|ledger| {
            ledger.count(Group::Fault, fault.kind.name());
            ledger.note(format!("fault {fault}, amount {}", fault.amount));
        });
    }

    /// The fault that a link has now.
    pub(super) fn fault_of_link(&self, host: usize, node: usize) -> Option<Kind> {
        self.links.borrow()[host * self.setting.nodes + node]
    }

    pub(super) fn set_link(&self, host: usize, node: usize, fault: Option<Kind>) {
        self.links.borrow_mut()[host * self.setting.nodes + node] = fault;
    }

    /// Nobody comes again from now on.
    pub(super) fn end(&self) {
        self.over.set(true);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }
}
