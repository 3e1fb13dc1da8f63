use std::process::{Command, Output};

use common::dead_letter::store::{self, Letter};
use common::kafka::unreadable::Unreadable;
use common::wire::dead_letter::{DeadLetter, DeadLetters};
use common::wire::event::{Event as _, STOCK_COMMANDS};
use common::wire::id::{OrderId, UserId};
use common::wire::token::Role;
use serde_json::{Value, json};
use testkit::client::Http;
use testkit::eventually;
use uuid::Uuid;

use crate::service::{PATIENCE, Service};

const PATH: &str = "/api/admin/dead-letters";

/// Puts a command that can be read today among the letters, as if the version before could not; returns its letter.
async fn kept(service: &Service, order: OrderId, product: common::wire::id::ProductId) -> Uuid {
    let command = service.reserve(product, order, 7);
    let record = Unreadable {
        partition: 0,
        offset: 1_000_000,
        key: command.key(),
        bytes: serde_json::to_vec(&command).unwrap(),
        reason: "stock.reserve.v1: unknown variant".into(),
    };
    let letter = Letter { topic: STOCK_COMMANDS.name.into(), record };
    let mut tx = service.pg.begin().await.unwrap();
    // A repeat is the same letter.
    store::keep(&mut tx, &[letter.clone(), letter], service.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    sqlx::query_scalar("SELECT letter_id FROM dead_letter WHERE record_offset = 1000000")
        .fetch_one(&service.pg)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_no_topic_takes_is_not_sent_again() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let letter = kept(&service, OrderId::new(), product).await;
    sqlx::query("UPDATE dead_letter SET body = convert_to(repeat('x', 1000000), 'UTF8')")
        .execute(&service.pg)
        .await
        .unwrap();
    let admin = service.login(UserId(1), Role::Admin);
    let asked = admin.post(&format!("{PATH}/{letter}/redrive"), &json!({})).await.unwrap();
    asked.problem(422, "dead-letter-too-large");
    let output = tool(&service, &["redrive", &letter.to_string(), "--by", "somebody"]).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("larger than 1000000 bytes"), "{output:?}");
    assert_eq!(list(&admin, "?redriven=false").await.items.len(), 1);
}

async fn list(admin: &Http, query: &str) -> DeadLetters {
    admin.get(&format!("{PATH}{query}")).await.unwrap().expect(200).body()
}

/// `product`, with nothing of this process's environment but where its database is.
async fn tool(service: &Service, args: &[&str]) -> Output {
    let database: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&service.pg).await.unwrap();
    let url = format!("{}/{database}", testkit::servers().postgres);
    let mut command = Command::new(env!("CARGO_BIN_EXE_product"));
    command.arg("dead-letters").args(args).env_clear().env("DATABASE_URL", url).output().unwrap()
}

fn said(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_sent_again_once_however_often_it_is_asked_for() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let admin = service.login(UserId(1), Role::Admin);
    let order = OrderId::new();
    let id = kept(&service, order, product).await;
    let before = list(&admin, "").await;
    assert_eq!((before.items.len(), before.next), (1, None));
    assert_eq!(before.items[0].redriven_at, None);

    let path = format!("{PATH}/{id}/redrive");
    let ask = async || -> DeadLetter { admin.post(&path, &json!({})).await.unwrap().expect(200).body() };
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    assert_eq!((&first, &first), (&second, &third));
    assert_eq!((first.redriven_by.as_deref(), first.redriven_at), (Some("1"), Some(service.clock.now())));
    service.counts_are(product, [5, 4, 1, 0]).await;
    let other = service.login(UserId(2), Role::Admin);
    let again: DeadLetter = other.post(&path, &json!({})).await.unwrap().expect(200).body();
    assert_eq!(again, first, "whoever asks later changes nothing");
    let outbox = "SELECT count(*) FROM outbox";
    eventually(PATIENCE, async || {
        anyhow::ensure!(service.number(outbox).await == 0, "something is still on its way");
        Ok(())
    })
    .await;
    let told = service.told(STOCK_COMMANDS, &product.to_string()).unwrap();
    let sent = told.iter().filter(|command| command["orderId"] == json!(order)).count();
    assert_eq!(sent, 1);
    assert!(list(&admin, "?redriven=false").await.items.is_empty());
    assert_eq!(list(&admin, "?redriven=true").await.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_by_page_shown_and_counted() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let admin = service.login(UserId(1), Role::Admin);
    let poison = [b"not JSON".to_vec(), vec![0xff, 0x00]];
    service.send_raw(poison.iter().map(|body| (product.to_string(), body.clone())).collect()).await;
    let all = eventually(PATIENCE, async || {
        let all = list(&admin, "").await;
        anyhow::ensure!(all.items.len() == 2, "{} letters", all.items.len());
        Ok(all.items)
    })
    .await;
    assert!(all[0].letter_id > all[1].letter_id, "the newest first");
    assert_eq!((all[1].topic.as_str(), all[1].size), ("stock.commands.v1", 8));
    assert!(all.iter().all(|letter| letter.body.is_none() && !letter.reason.is_empty()));
    let page = list(&admin, "?limit=1").await;
    assert_eq!(page.items, all[..1]);
    let rest = list(&admin, &format!("?limit=1&cursor={}", page.next.unwrap())).await;
    assert_eq!((rest.items.as_slice(), rest.next), (&all[1..], None));

    let show = async |letter: &DeadLetter| -> DeadLetter {
        admin.get(&format!("{PATH}/{}", letter.letter_id)).await.unwrap().expect(200).body()
    };
    let (text, bytes) = (show(&all[1]).await, show(&all[0]).await);
    assert_eq!((text.body.as_deref(), text.text.as_deref()), (Some("bm90IEpTT04="), Some("not JSON")));
    assert_eq!((bytes.body.as_deref(), bytes.text), (Some("/wA="), None));
    assert_eq!(bytes.offset, text.offset + 1);
    eventually(PATIENCE, async || {
        let metrics = service.anyone().get("/metrics").await?.body;
        let counted = metrics.as_str().is_some_and(|text| text.contains("astraphe_product_dead_letters 2"));
        anyhow::ensure!(counted, "not counted yet");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_for_admin_alone_and_bad_questions_have_their_codes() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let id = kept(&service, OrderId::new(), product).await;
    service.anyone().get(PATH).await.unwrap().problem(401, "login-required");
    for role in [Role::Customer, Role::Seller, Role::Manager] {
        let caller = service.login(UserId(3), role);
        caller.get(PATH).await.unwrap().problem(403, "forbidden");
        caller.get(&format!("{PATH}/{id}")).await.unwrap().problem(403, "forbidden");
        let redrive = caller.post(&format!("{PATH}/{id}/redrive"), &json!({})).await.unwrap();
        redrive.problem(403, "forbidden");
    }
    let admin = service.login(UserId(1), Role::Admin);
    for query in ["?limit=0", "?limit=101", "?cursor=7", "?redriven=perhaps"] {
        admin.get(&format!("{PATH}{query}")).await.unwrap().problem(400, "validation-failed");
    }
    let unknown = format!("{PATH}/{}", Uuid::now_v7());
    admin.get(&unknown).await.unwrap().problem(404, "unknown-dead-letter");
    admin.post(&format!("{unknown}/redrive"), &json!({})).await.unwrap().problem(404, "unknown-dead-letter");
    admin.get(&format!("{PATH}/seven")).await.unwrap().problem(404, "no-such-route");
    assert_eq!(service.number("SELECT count(*) FROM dead_letter WHERE redriven_at IS NOT NULL").await, 0);
    service.counts_are(product, [5, 5, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_shows_and_sends_again() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let id = kept(&service, OrderId::new(), product).await.to_string();
    assert_eq!(said(&tool(&service, &[]).await)["items"][0]["letterId"], id.as_str());
    assert!(said(&tool(&service, &["show", &id]).await)["text"].as_str().unwrap().contains("reserve"));
    assert_eq!(tool(&service, &["redrive", &id]).await.status.code(), Some(2), "nobody is named");
    assert_eq!(tool(&service, &["redrive", &id, "--by", "a\nb"]).await.status.code(), Some(2));
    let unknown = tool(&service, &["redrive", &Uuid::now_v7().to_string(), "--by", "night shift"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    let sent = said(&tool(&service, &["redrive", &id, "--by", "night shift"]).await);
    assert_eq!(sent["redrivenBy"], "night shift");
    service.counts_are(product, [5, 4, 1, 0]).await;
    assert_eq!(said(&tool(&service, &["redrive", &id, "--by", "day shift"]).await), sent);
    assert_eq!(said(&tool(&service, &["list"]).await)["items"], json!([]));
    assert_eq!(said(&tool(&service, &["list", "--all"]).await)["items"][0]["redrivenBy"], "night shift");
}
