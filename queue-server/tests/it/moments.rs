//! Time that passes at once: every moment that a room has stored moves into the past. The rooms read the same clock as
//! ever.

use std::sync::LazyLock;

use common::redis::{Connections, Script, Value};
use common::wire::id::ProductId;

/// The next tick begins a pass over the line. KEYS: meta, admitted, who. ARGV: ms; '1' when nobody served the room meanwhile; run id to store, or ''.
static PASS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local call, ms = redis.call, tonumber(ARGV[1])
         local room = cjson.decode(call('HGET', KEYS[1], 'room'))
         room.bornAt, room.lag = room.bornAt - ms, room.lag - ms
         if room.frozenAt then room.frozenAt = room.frozenAt - ms end
         if ARGV[3] ~= '' then room.run = ARGV[3] end
         call('HSET', KEYS[1], 'room', cjson.encode(room), 'zero', room.bornAt + room.gap, 'run', room.run)
         call('HINCRBY', KEYS[1], 'sweepBegan', -ms - 5000)
         if ARGV[2] == '1' then
           local now = call('TIME')
           call('HSET', KEYS[1], 'beat', now[1] * 1000 + math.floor(now[2] / 1000) - ms)
         end
         for _, user in ipairs(call('ZRANGE', KEYS[2], 0, -1)) do call('ZINCRBY', KEYS[2], -ms, user) end
         local who = call('HGETALL', KEYS[3])
         for i = 1, #who, 2 do
           local record = cmsgpack.unpack(who[i + 1])
           if record.ends then
             record.ends = record.ends - ms
             call('HSET', KEYS[3], who[i], cmsgpack.pack(record))
           end
         end
         return 1",
    )
});

/// So many seconds pass while the room is served.
pub(crate) async fn pass(redis: &Connections, product: ProductId, seconds: i64) {
    run(redis, product, seconds, [0.into(), "".into()]).await;
}

/// So many seconds pass while nobody serves the room.
pub(crate) async fn pass_unserved(redis: &Connections, product: ProductId, seconds: i64) {
    run(redis, product, seconds, [1.into(), "".into()]).await;
}

/// The room's server was another one until now.
pub(crate) async fn begin_another_run(redis: &Connections, product: ProductId) {
    run(redis, product, 0, [0.into(), "another".into()]).await;
}

async fn run(redis: &Connections, product: ProductId, seconds: i64, how: [Value; 2]) {
    let keys = ["meta", "admitted", "who"].map(|part| format!("room:{{{product}}}:{part}"));
    let args = [Value::from(seconds * 1_000)].into_iter().chain(how);
    let _: i64 = PASS.run(redis, keys.into(), args.collect()).await.unwrap();
}

/// When a room's key ends by itself, in ms since 1970.
pub(crate) async fn ends_at(redis: &Connections, product: ProductId, part: &str) -> Option<i64> {
    static ENDS: LazyLock<Script> =
        LazyLock::new(|| Script::new("return redis.call('PEXPIRETIME', KEYS[1])"));
    let ends: i64 = ENDS.run(redis, vec![format!("room:{{{product}}}:{part}")], Vec::new()).await.unwrap();
    (ends > 0).then_some(ends)
}
