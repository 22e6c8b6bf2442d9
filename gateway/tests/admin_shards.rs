//! Operators see, add and remove shards of a running node.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;
#[path = "support/crowd.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod support_crowd;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use gateway::admin::stats::Stats;
use gateway::admin::{Admin, AdminConfig, AdminKey, Probes, Readiness, Value};
use gateway::server::Server;
use gateway_core::id::ShardId;
use serde_json::json;
use support::{PATIENCE, connect, next, node};
use support_crowd::{end, until};
use tokio_tungstenite::tungstenite::Message;

const KEY: &str = "open-sesame";
const AUTHORIZED: &str = "authorization: Bearer open-sesame";

struct Desk {
    node: Server,
    admin: Admin,
}

impl Desk {
    fn open(shards: usize) -> Self {
        let node = node(|config| {
            (config.shards, config.workers) = (Some(shards), Some(1));
            config.limits.connections_max = 7;
        });
        let admin = Admin::start(AdminConfig {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            key: AdminKey::given(KEY.to_owned()).unwrap(),
            probes: Arc::new(Probes::new()),
            readiness: Arc::new(Readiness::starting()),
            stats: Arc::new(Stats::default),
            shards: Some(node.shards_handle()),
            guard: Arc::default(),
            drain: Box::new(|| ()),
        });
        Self { node, admin: admin.unwrap() }
    }

    /// One request, such as `GET /path`: its status, head and body.
    fn ask(&self, request: &str, header: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.admin.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
    }

    fn order(&self, request: &str) -> (u16, String) {
        let (status, _, body) = self.ask(request, AUTHORIZED);
        (status, body)
    }

    fn list(&self) -> Vec<Value> {
        let (status, head, body) = self.ask("GET /admin/shards", "");
        assert_eq!(status, 200);
        assert!(head.contains("content-type: application/json"), "{head}");
        let shown: Value = serde_json::from_str(&body).unwrap();
        shown["shards"].as_array().unwrap().clone()
    }

    fn ids(&self) -> Vec<u64> {
        self.list().iter().map(|shard| shard["id"].as_u64().unwrap()).collect()
    }
}

#[tokio::test]
async fn everyone_may_see_the_shards_and_what_they_hold() {
    let desk = Desk::open(2);
    let socket = connect(desk.node.addr(), "/ws/simple").await;
    let shown = desk.list();
    for (id, shard) in shown.iter().enumerate() {
        let rest = ["connections", "node"].map(|key| shard[key].as_u64().unwrap());
        let [connections, on] = rest;
        let all = json!({
            "id": id, "state": "serving", "worker": 0, "cpu": null, "node": on,
            "connections": connections, "capacity": 7,
        });
        assert_eq!(*shard, all, "it is not pinned");
    }
    let connections = shown.iter().map(|shard| shard["connections"].as_u64().unwrap());
    assert_eq!((shown.len(), connections.sum::<u64>()), (2, 1));
    drop(socket);
    end(desk.node).await;
}

#[tokio::test]
async fn shards_are_added_and_removed_by_who_has_the_key() {
    let desk = Desk::open(1);
    let (status, head, body) = desk.ask("POST /admin/shards", AUTHORIZED);
    assert_eq!((status, &*body), (201, "{\"id\":1,\"state\":\"serving\"}\n"));
    assert!(head.contains("location: /admin/shards/1"), "{head}");
    assert_eq!(desk.ids(), [0, 1]);
    let (status, body) = desk.order("DELETE /admin/shards/0");
    assert_eq!((status, &*body), (202, "{\"id\":0,\"state\":\"leaving\"}\n"));
    until("the shard is gone", || desk.ids() == [1]).await;
    let socket = connect(desk.node.addr(), "/ws/simple").await;
    assert_eq!(desk.list()[0]["connections"], 1, "the other one serves");
    drop(socket);
    end(desk.node).await;
}

#[tokio::test]
async fn a_shard_that_leaves_shows_so_and_its_connections_may_be_told_to_go() {
    let desk = Desk::open(1);
    let mut socket = connect(desk.node.addr(), "/ws/simple").await;
    assert_eq!(desk.order("POST /admin/shards").0, 201);
    assert_eq!(desk.order("DELETE /admin/shards/0?drain=true").0, 202);
    let Message::Close(Some(close)) = next(&mut socket).await else { panic!("it hears why") };
    assert_eq!(u16::from(close.code), 1001);
    assert!(close.reason.starts_with("drained on request"), "{}", close.reason);
    // It waits for the client's goodbye, which says nothing before it looks again.
    let left = desk.list().into_iter().find(|shard| shard["id"] == 0).unwrap();
    assert_eq!((&left["state"], &left["connections"]), (&json!("leaving"), &json!(1)));
    drop(socket);
    until("the shard is gone", || desk.ids() == [1]).await;
    end(desk.node).await;
}

#[tokio::test]
async fn without_the_key_or_from_another_page_no_shard_comes_or_goes() {
    let desk = Desk::open(2);
    for request in ["POST /admin/shards", "DELETE /admin/shards/0"] {
        assert_eq!(desk.ask(request, "").0, 401);
        assert_eq!(desk.ask(request, "authorization: Bearer wrong").0, 401);
        let page = format!("{AUTHORIZED}\r\norigin: http://elsewhere");
        assert_eq!(desk.ask(request, &page).0, 403);
    }
    assert_eq!(desk.ids(), [0, 1]);
    end(desk.node).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_can() {
    let desk = Desk::open(1);
    let (status, body) = desk.order("DELETE /admin/shards/0");
    let last = "shard 0 is the last one that serves; add another first, or drain the node\n";
    assert_eq!((status, &*body), (409, last));
    let (status, body) = desk.order("DELETE /admin/shards/5");
    assert_eq!((status, &*body), (404, "shard 5 does not serve; those that do are 0\n"));
    for wrong in ["DELETE /admin/shards/x", "DELETE /admin/shards/0?drain=maybe"] {
        assert_eq!(desk.order(wrong).0, 400, "{wrong}");
    }
    let methods = [("PUT /admin/shards", "GET, HEAD, POST"), ("GET /admin/shards/0", "DELETE")];
    for (request, allowed) in methods {
        let (status, head, _) = desk.ask(request, AUTHORIZED);
        assert!(status == 405 && head.contains(&format!("allow: {allowed}")), "{head}");
    }
    desk.node.drain();
    let (status, body) = desk.order("POST /admin/shards");
    let draining = "the node is draining and takes nobody new; start another\n";
    assert_eq!((status, &*body), (409, draining));
    assert_eq!(desk.order("DELETE /admin/shards/0").0, 409);
    end(desk.node).await;
}

#[tokio::test]
async fn when_all_ids_are_used_it_says_so() {
    let desk = Desk::open(1);
    let used = (1..).find(|&shard| {
        let added = desk.order("POST /admin/shards");
        if added.0 == 201 {
            desk.node.remove_shard(ShardId(shard)).unwrap();
            return false;
        }
        assert_eq!(added.0, 409, "{}", added.1);
        assert!(added.1.starts_with("all 65 ids for shards were used"), "{}", added.1);
        true
    });
    assert_eq!(used, Some(65), "one from the start, and 64 more");
    end(desk.node).await;
}
