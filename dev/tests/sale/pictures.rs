//! A picture on its way through the gateway, in and out.

use common::wire::product::ImageView;
use http::header;
use image::{DynamicImage, ImageFormat, RgbImage};
use reqwest::Method;
use serde_json::json;
use testkit::client::{Answer, Http};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::shop::{PATIENCE, shared};

/// What the gateway lets through of a picture.
const UPLOAD_MAX_BYTES: usize = 10 << 20;

async fn upload(who: &Http, file: Vec<u8>) -> Answer {
    let request =
        who.request(Method::POST, "/api/images").header(header::CONTENT_TYPE, "image/gif").body(file);
    Http::send("POST /api/images".into(), request).await.unwrap()
}

/// What is answered to the head of an upload of so many bytes, of which none comes.
async fn announce(who: &Http, bytes: usize) -> String {
    let login =
        who.request(Method::POST, "/api/images").build().unwrap().headers()[header::AUTHORIZATION].clone();
    let mut door = TcpStream::connect(who.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/images HTTP/1.1\r\nhost: shop\r\nauthorization: {}\r\ncontent-length: {bytes}\r\n\r\n",
        login.to_str().unwrap()
    );
    door.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, door.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    answer
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 9]));
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

#[tokio::test]
async fn a_picture_is_uploaded_shown_with_its_product_and_kept_by_browsers() {
    let shop = shared();
    let seller = shop.login("seller").await;
    // By what it is: the client calls it a GIF.
    let made: ImageView = upload(&seller, png(1_000, 500)).await.expect(201).body();
    assert_eq!((made.width, made.height), (1_000, 500));
    let company = json!({"companyName": "Lamps", "description": "light", "address": "Seoul"});
    let company = seller.post("/api/companies", &company).await.unwrap().expect(201).body;
    let product = json!({
        "companyId": company["companyId"], "productName": "Lamp, shown", "originalPrice": 50_000,
        "discountedPrice": 19_900, "stock": 1, "categoryCode": 2_000, "saleStartTime": "2031-06-02T10:00:00Z",
        "saleEndTime": "2031-06-03T10:00:00Z", "images": [made.key],
    });
    let product = seller.post("/api/products", &product).await.unwrap().expect(201).body;
    let summary = format!("/api/products/{}/summary", product["productId"]);
    let summary = shop.visitor().get(&summary).await.unwrap().expect(200).body;
    assert_eq!(summary["images"], json!([made.key]));

    let path = format!("/images/{}?size=small", made.key);
    let shown = shop.visitor().request(Method::GET, &path).send().await.unwrap();
    assert_eq!(shown.status(), 200);
    let field = |name| shown.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(field(header::CACHE_CONTROL), "public, max-age=31536000, immutable");
    assert_eq!(field(header::CONTENT_TYPE), "image/jpeg");
    assert_eq!(field(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    let tag = field(header::ETAG);
    let small = image::load_from_memory(&shown.bytes().await.unwrap()).unwrap();
    assert_eq!((small.width(), small.height()), (320, 160));
    shop.visitor().with("if-none-match", tag).get(&path).await.unwrap().expect(304);
}

#[tokio::test]
async fn what_is_no_picture_or_too_large_does_not_come_through() {
    let shop = shared();
    let seller = shop.login("seller").await;
    let good = png(20, 20);
    upload(&shop.visitor(), good.clone()).await.problem(401, "login-required");
    upload(&shop.shopper().http, good).await.problem(403, "forbidden");
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    let refused = upload(&seller, svg.to_vec()).await.problem(400, "validation-failed");
    assert_eq!(refused["errors"][0]["field"], "image", "{refused}");
    // The last byte that comes through, and one more.
    let refused = upload(&seller, vec![0; UPLOAD_MAX_BYTES]).await.problem(400, "validation-failed");
    assert_eq!(refused["errors"][0]["field"], "image", "{refused}");
    let answer = announce(&seller, UPLOAD_MAX_BYTES + 1).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"body-too-large\""), "{answer}");
    let unknown = format!("/images/{}", "0".repeat(64));
    shop.visitor().get(&unknown).await.unwrap().problem(404, "unknown-image");
}
