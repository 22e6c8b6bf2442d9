//! `/admin/shards`: what shards there are, one more of them, or one less.

use gateway_core::id::ShardId;
use hyper::header::LOCATION;
use hyper::{StatusCode, Uri};
use serde_json::{Value, json};
use tracing::info;

use super::answers::{Answer, JSON, Refusal, answer};
use crate::server::{AddError, OwnPortError, Removal, RemoveError, ShardState, Shards};

/// All of them; one is below it, by its id.
pub(super) const PATH: &str = "/admin/shards";

/// What a path names one shard by, if it does.
pub(super) fn id_of(path: &str) -> Option<&str> {
    path.strip_prefix(PATH)?.strip_prefix('/').filter(|id| !id.contains('/'))
}

/// The shards that are there.
pub(super) fn list(shards: &Shards) -> Answer {
    let list: Vec<_> = shards.list().iter().map(shown).collect();
    answer(StatusCode::OK, JSON, json!({ "shards": list }).to_string() + "\n")
}

/// Adds a shard. Whoever else asks is answered meanwhile: a worker that does not turn keeps only
/// this one waiting.
pub(super) async fn add(shards: Shards) -> Result<Answer, Refusal> {
    let added = tokio::task::spawn_blocking(move || shards.add()).await;
    let shard = added
        .expect("adding a shard does not panic")
        .map_err(|error| Refusal::Unchanged(status_of(&error), error.to_string()))?;
    info!(%shard, "a shard was added by the admin listener");
    let body = json!({ "id": shard.0, "state": SERVING }).to_string() + "\n";
    let mut answer = answer(StatusCode::CREATED, JSON, body);
    let location = format!("{PATH}/{}", shard.0).parse().expect("digits are a header's value");
    answer.headers_mut().insert(LOCATION, location);
    Ok(answer)
}

/// Whether another try may do what this one did not.
fn status_of(error: &AddError) -> StatusCode {
    match error {
        AddError::NoIds(_)
        | AddError::Draining
        | AddError::OwnPort(OwnPortError::Beyond { .. }) => StatusCode::CONFLICT,
        AddError::Bind { .. }
        | AddError::OwnPort(OwnPortError::Bind { .. })
        | AddError::System(_)
        | AddError::Busy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

const SERVING: &str = "serving";
const LEAVING: &str = "leaving";

/// A shard is to be removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Removing {
    shard: ShardId,
    removal: Removal,
}

impl Removing {
    /// Which one, by the path, and how, by `?drain=true`.
    pub(super) fn read(uri: &Uri) -> Result<Self, Refusal> {
        // A sign is nothing a number has.
        let digits = |id: &&str| id.bytes().all(|byte| byte.is_ascii_digit());
        let id = id_of(uri.path()).filter(digits).and_then(|id| id.parse().ok());
        let wrong = "a shard is named by its number, as GET /admin/shards shows it\n";
        let shard = ShardId(id.ok_or(Refusal::Shard(wrong))?);
        let removal = match uri.query() {
            None | Some("" | "drain=false") => Removal::Move,
            Some("drain=true") => Removal::Dismiss,
            Some(_) => {
                return Err(Refusal::Shard("the query is ?drain=true, ?drain=false or nothing\n"));
            }
        };
        Ok(Self { shard, removal })
    }

    /// Begins to remove it.
    pub(super) fn carry_out(self, shards: &Shards) -> Result<Answer, Refusal> {
        let Self { shard, removal } = self;
        shards.remove(shard, removal).map_err(|error| {
            let status = match &error {
                RemoveError::Unknown { .. } => StatusCode::NOT_FOUND,
                RemoveError::Last(_) | RemoveError::Draining => StatusCode::CONFLICT,
            };
            Refusal::Unchanged(status, error.to_string())
        })?;
        info!(%shard, ?removal, "a shard's removal was ordered by the admin listener");
        let body = json!({ "id": shard.0, "state": LEAVING }).to_string() + "\n";
        Ok(answer(StatusCode::ACCEPTED, JSON, body))
    }
}

fn shown(state: &ShardState) -> Value {
    json!({
        "id": state.shard.0,
        "state": if state.leaving { LEAVING } else { SERVING },
        "worker": state.worker,
        "cpu": state.cpu,
        "node": state.node,
        "connections": state.connections,
        "capacity": state.capacity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &'static str) -> Option<Removing> {
        Removing::read(&Uri::from_static(uri)).ok()
    }

    #[test]
    fn a_shard_is_named_by_its_number_and_removed_as_the_query_says() {
        let removing = |shard, removal| Some(Removing { shard: ShardId(shard), removal });
        assert_eq!(read("/admin/shards/3"), removing(3, Removal::Move));
        assert_eq!(read("/admin/shards/0?drain=false"), removing(0, Removal::Move));
        assert_eq!(read("/admin/shards/1023?drain=true"), removing(1023, Removal::Dismiss));
    }

    #[test]
    fn what_names_no_shard_or_no_way_to_remove_one_is_refused() {
        for id in ["", "x", "65536", "-1", "+1", "%201"] {
            let uri = format!("/admin/shards/{id}").parse().expect("an address");
            assert!(Removing::read(&uri).is_err(), "{uri}");
        }
        for uri in ["/admin/shards/1?drain", "/admin/shards/1?drain=1", "/admin/shards/1?x=y"] {
            assert_eq!(read(uri), None, "{uri}");
        }
        assert_eq!(id_of("/admin/shards/1/remove"), None);
        assert_eq!(id_of("/admin/shardsx/1"), None);
    }

    #[test]
    fn who_is_refused_comes_again_only_where_that_helps() {
        let (base, shard) = (65_535, ShardId(1));
        let beyond = AddError::OwnPort(OwnPortError::Beyond { base, shard });
        assert_eq!(status_of(&beyond), StatusCode::CONFLICT);
        let (addr, source) = (([127, 0, 0, 1], 1).into(), std::io::ErrorKind::AddrInUse.into());
        let taken = AddError::OwnPort(OwnPortError::Bind { addr, shard, source });
        assert_eq!(status_of(&taken), StatusCode::SERVICE_UNAVAILABLE);
    }
}
