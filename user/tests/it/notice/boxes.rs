use std::time::Duration;

use common::wire::id::OrderId;
use common::wire::notice::{BoxView, NoticeView};
use common::wire::order::OrderState;
use serde_json::{Value, json};
use testkit::events::Events;

use super::{SOON, TestNotice, order};

const LIVE: &str = "/api/notifications/live";

/// Tells a reader of so many orders of theirs, one by one.
async fn tell(test: &TestNotice, user: i64, count: usize) {
    let orders: Vec<_> = (0..count).map(|_| order(OrderId::new(), 3, user, OrderState::Paid)).collect();
    let before = test.box_of(user).await.len();
    test.send(&orders).await;
    test.notices(user, before + count).await;
}

#[tokio::test]
async fn a_box_is_read_page_by_page_and_marked_as_read() {
    let test = TestNotice::start().await;
    test.tell(&test.product(1, 60)).await;
    tell(&test, 5, 5).await;
    tell(&test, 6, 1).await;
    let me = test.caller(5);
    let mut seen: Vec<NoticeView> = Vec::new();
    let mut path = "/api/notifications?limit=2".to_owned();
    loop {
        let page = me.get(&path).await.unwrap().expect(200).body;
        assert_eq!(page["unread"], 5);
        seen.extend(serde_json::from_value::<Vec<NoticeView>>(page["items"].clone()).unwrap());
        let Some(next) = page.get("next") else { break };
        path = format!("/api/notifications?limit=2&cursor={next}");
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|one, next| one.notice_id > next.notice_id), "{seen:?}");
    assert!(seen.iter().all(|notice| !notice.read));

    let read = |up_to: i64| json!({"upTo": up_to});
    let post = async |body: &Value| me.post("/api/notifications/read", body).await.unwrap();
    let (third, newest) = (seen[2].notice_id, seen[0].notice_id);
    let all: BoxView = post(&read(third)).await.expect(200).body();
    assert_eq!(all, BoxView { unread: 2, newest: Some(newest) });
    // What is read stays read.
    assert_eq!(post(&read(seen[4].notice_id)).await.expect(200).body["unread"], 2);
    let marks: Vec<bool> = test.box_of(5).await.into_iter().map(|notice| notice.read).collect();
    assert_eq!(marks, [true, true, true, false, false]);
    assert!(test.box_of(6).await.iter().all(|notice| !notice.read), "another reader's are not");

    let foreign = test.box_of(6).await[0].notice_id;
    for bad in [
        read(foreign),
        read(i64::MAX),
        read(0),
        read(-1),
        json!({"upTo": "x"}),
        json!({}),
        json!({"upTo": 1, "x": 1}),
    ] {
        let problem = post(&bad).await.problem(400, "validation-failed");
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{bad}: {problem}");
    }
    for bad in ["limit=0", "limit=101", "limit=x", "cursor=x", "limit=-1"] {
        let path = format!("/api/notifications?{bad}");
        me.get(&path).await.unwrap().problem(400, "validation-failed");
    }
    assert_eq!(me.get("/api/notifications").await.unwrap().expect(200).body["unread"], 2);
    test.user.http.get("/api/notifications").await.unwrap().problem(401, "login-required");
}

#[tokio::test]
async fn a_stream_tells_what_comes_and_after_a_break_what_came() {
    let test = TestNotice::start().await;
    test.tell(&test.product(1, 60)).await;
    let mut empty = Events::open(&test.caller(5), LIVE).await;
    let told = empty.next().await.unwrap();
    assert_eq!((told.event.as_str(), told.id.as_str()), ("box", ""));
    assert_eq!(told.data, json!({"unread": 0}));

    // Whichever replica reads the orders, both streams tell.
    let mut there = Events::open(&test.caller_there(5), LIVE).await;
    assert_eq!(there.next().await.unwrap().event, "box");
    tell(&test, 5, 3).await;
    let ids: Vec<i64> = test.box_of(5).await.into_iter().map(|notice| notice.notice_id).collect();
    for stream in [&mut empty, &mut there] {
        for id in &ids {
            let told = stream.next().await.unwrap();
            assert_eq!((told.event.as_str(), told.id.as_str()), ("notice", id.to_string().as_str()));
            assert_eq!(told.data::<NoticeView>().notice_id, *id);
        }
    }
    tell(&test, 6, 1).await;
    assert!(there.is_silent(Duration::from_millis(600)).await, "another reader's notice is none of ours");

    let after = |id: i64| test.caller_there(5).with("last-event-id", id.to_string());
    let mut again = Events::open(&after(ids[0]), LIVE).await;
    for id in &ids[1..] {
        assert_eq!(again.next().await.unwrap().id, id.to_string());
    }
    // An id of a time that this database does not know: what comes is told all the same.
    let mut ahead = Events::open(&after(ids[2] + 1_000), LIVE).await;
    tell(&test, 5, 1).await;
    let newest = test.box_of(5).await[3].notice_id.to_string();
    for stream in [&mut ahead, &mut again] {
        assert_eq!(stream.next().await.unwrap().id, newest);
    }
    let fresh = Events::open(&test.caller(5), LIVE).await.next().await.unwrap();
    assert_eq!((fresh.event.as_str(), &fresh.id), ("box", &newest));
}

#[tokio::test]
async fn streams_are_limited_and_end_in_an_orderly_way() {
    let test = TestNotice::start().await;
    let me = test.caller(5);
    for bad in ["x", "-1", "0", "1.5", "99999999999999999999"] {
        me.with("last-event-id", bad).get(LIVE).await.unwrap().problem(400, "invalid-last-event-id");
    }
    test.user.http.get(LIVE).await.unwrap().problem(401, "login-required");
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Events::open(&me, LIVE).await);
    }
    me.get(LIVE).await.unwrap().problem(429, "too-many-streams");
    let mut last = streams.pop().unwrap();
    streams.clear();
    testkit::eventually(SOON, async || {
        let answer = me.request(reqwest::Method::GET, LIVE).send().await?;
        anyhow::ensure!(answer.status() == 200, "{}", answer.status());
        Ok(())
    })
    .await;
    test.user.stop.stop();
    assert_eq!(last.next().await.unwrap().event, "box");
    assert_eq!(last.next().await.unwrap().event, "reconnect");
    assert_eq!(last.next().await, None);
}
