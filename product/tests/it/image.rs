//! Pictures over HTTP, in a folder and in a bucket.

use std::io::Write as _;
use std::time::Duration;

use common::wire::id::UserId;
use common::wire::product::ImageView;
use common::wire::token::Role;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use image::{DynamicImage, ImageFormat, RgbImage, Rgba, RgbaImage};
use reqwest::Method;
use serde_json::json;
use testkit::client::{Answer, Http};
use testkit::eventually;

use crate::service::{PATIENCE, Service};

const SCRIPT: &[u8] = b"<script>alert(1)</script>";

/// A picture with something to see.
pub(crate) fn picture(width: u32, height: u32) -> DynamicImage {
    let colour = |x: u32, y: u32| image::Rgb([(x % 256) as u8, (y % 256) as u8, ((x * y) % 256) as u8]);
    RgbImage::from_fn(width, height, colour).into()
}

pub(crate) fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A JPEG that says that it lies on its side, and where it was taken.
fn with_exif(jpeg: &[u8]) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    exif.extend_from_slice(b"37.5665 N 126.9780 E");
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    [&u32::try_from(data.len()).unwrap().to_be_bytes(), kind.as_slice(), data, &crc.sum().to_be_bytes()]
        .concat()
}

/// A PNG of this size with these chunks between its head and its end.
fn png(width: u32, height: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &head), chunks.concat(), chunk(b"IEND", &[])].concat()
}

/// What unpacks to 4 GiB of zeros, as zlib has it: a block of 64 MiB that ends on a byte, 64 times.
fn bomb() -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 64 << 20]).unwrap();
    encoder.flush().unwrap();
    let block = encoder.get_ref().clone();
    let end = [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
    [&[0x78, 0x9c][..], &block.repeat(64), &end].concat()
}

/// Made once by `avifenc` (libavif 0.11.1) from four fields, 64 x 48 pixels: red, green; blue, white.
const AVIF: &[u8] = include_bytes!("pictures/four-420.avif");

/// The same, which says that it has another size.
fn avif_of(width: u32, height: u32) -> Vec<u8> {
    let mut file = AVIF.to_vec();
    let at = file.windows(4).position(|kind| kind == b"ispe").unwrap() + 8;
    file[at..at + 8].copy_from_slice(&[width.to_be_bytes(), height.to_be_bytes()].concat());
    file
}

/// The colours of the four fields of a picture, as far as they are no more than a little off.
fn fields(picture: &DynamicImage) -> [&'static str; 4] {
    let named = [
        ("red", [200, 30, 30]),
        ("green", [30, 160, 60]),
        ("blue", [40, 60, 200]),
        ("white", [240, 240, 240]),
    ];
    let rgb = picture.to_rgb8();
    let (w, h) = (rgb.width(), rgb.height());
    [(w / 4, h / 4), (3 * w / 4, h / 4), (w / 4, 3 * h / 4), (3 * w / 4, 3 * h / 4)].map(|(x, y)| {
        let near =
            |colour: [u8; 3]| rgb.get_pixel(x, y).0.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 10);
        named.iter().find(|(_, colour)| near(*colour)).map_or("something else", |(name, _)| name)
    })
}

pub(crate) async fn upload(who: &Http, file: impl Into<reqwest::Body>) -> Answer {
    // What the client says of it counts for nothing.
    let request = who.request(Method::POST, "/api/images").header("content-type", "image/png").body(file);
    Http::send("POST /api/images".into(), request).await.unwrap()
}

async fn uploaded(service: &Service, file: Vec<u8>) -> ImageView {
    upload(&service.seller(), file).await.expect(201).body()
}

/// What is served of a picture: its type and its bytes.
async fn served(service: &Service, key: &str, size: &str) -> (String, Vec<u8>) {
    let path = format!("/images/{key}{size}");
    let answer = service.anyone().request(Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(
        (header("x-content-type-options"), header("content-security-policy")),
        ("nosniff".into(), "default-src 'none'".into())
    );
    let kind = header("content-type");
    (kind, answer.bytes().await.unwrap().to_vec())
}

fn holds(file: &[u8], what: &[u8]) -> bool {
    file.windows(what.len()).any(|window| window == what)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_served_in_three_sizes_and_nothing_else_of_the_file_is() {
    let service = Service::start().await;
    let jpeg = [with_exif(&file(&picture(2_400, 1_200), ImageFormat::Jpeg)), SCRIPT.to_vec()].concat();
    assert!(holds(&jpeg, b"Exif") && holds(&jpeg, SCRIPT));
    let made = uploaded(&service, jpeg.clone()).await;
    assert_eq!((made.key.len(), made.width, made.height), (64, 960, 1_920), "it stands upright");
    for (size, wide, high) in
        [("", 960, 1_920), ("?size=large", 960, 1_920), ("?size=medium", 480, 960), ("?size=small", 160, 320)]
    {
        let (kind, bytes) = served(&service, &made.key, size).await;
        assert_eq!(kind, "image/jpeg");
        let shown = image::load_from_memory(&bytes).unwrap();
        assert_eq!((shown.width(), shown.height()), (wide, high), "{size}");
        for secret in [b"Exif".as_slice(), b"37.5665", SCRIPT] {
            assert!(!holds(&bytes, secret), "{size} holds {}", String::from_utf8_lossy(secret));
        }
    }
    // The same picture has the same key, whoever brings it.
    let other = service.login(UserId(12), Role::Seller);
    assert_eq!(upload(&other, jpeg).await.expect(201).body::<ImageView>(), made);

    // A copy is used for ever, and after asking.
    let path = format!("/images/{}", made.key);
    let tag = service.anyone().get(&path).await.unwrap().headers["etag"].to_str().unwrap().to_owned();
    service.anyone().with("if-none-match", tag).get(&path).await.unwrap().expect(304);
    for unknown in
        ["0".repeat(64), "x".repeat(64), "a".into(), made.key.to_uppercase(), "..%2f..%2fetc%2fpasswd".into()]
    {
        service.anyone().get(&format!("/images/{unknown}")).await.unwrap().problem(404, "unknown-image");
    }
    service.anyone().get(&format!("{path}?size=huge")).await.unwrap().problem(400, "validation-failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_and_transparent_pictures_stay_what_they_are() {
    let service = Service::start().await;
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let made = uploaded(&service, file(&picture(40, 30), format)).await;
        assert_eq!((made.width, made.height), (40, 30), "{format:?}");
        let (kind, bytes) = served(&service, &made.key, "?size=small").await;
        assert_eq!((kind.as_str(), image::load_from_memory(&bytes).unwrap().width()), ("image/jpeg", 40));
    }
    let glass: DynamicImage = RgbaImage::from_pixel(50, 50, Rgba([200, 10, 10, 128])).into();
    let made = uploaded(&service, file(&glass, ImageFormat::Png)).await;
    let (kind, bytes) = served(&service, &made.key, "").await;
    assert_eq!(kind, "image/webp");
    assert_eq!(
        image::load_from_memory(&bytes).unwrap().into_rgba8().get_pixel(25, 25),
        &Rgba([200, 10, 10, 128])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_is_refused_by_name_and_leaves_no_trace() {
    let service = Service::start().await;
    let good = file(&picture(100, 100), ImageFormat::Png);
    let bomb = bomb();
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#.to_vec();
    let start = chunk(b"IDAT", &[0x78, 0x9c]);
    let other = "a JPEG, PNG, WebP or AVIF picture";
    let beside = "larger than its pixels";
    let cases = [
        ("nothing", Vec::new(), other),
        ("an SVG with a script", svg, other),
        ("a page", b"<!doctype html><script>alert(1)</script>".to_vec(), other),
        ("a GIF", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), other),
        ("the head of an AVIF", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf".to_vec(), "a whole picture"),
        ("an AVIF of two pieces", include_bytes!("pictures/grid.avif").to_vec(), "a whole picture"),
        ("an AVIF with sides of 100,000 pixels", avif_of(100_000, 1), "pixels a side"),
        ("an AVIF of 144 megapixels", avif_of(12_000, 12_000), "40000000 in all"),
        ("an AVIF that is larger than it says", avif_of(63, 48), "a whole picture"),
        ("half a picture", good[..good.len() / 2].to_vec(), "a whole picture"),
        ("a head alone", good[..16].to_vec(), "a whole picture"),
        ("pixels that unpack to 4 GiB", png(1, 1, &[chunk(b"IDAT", &bomb)]), beside),
        (
            "a colour profile that unpacks to 4 GiB",
            png(1, 1, &[chunk(b"iCCP", &[b"p\0\0", bomb.as_slice()].concat()), start.clone()]),
            beside,
        ),
        (
            "a text that unpacks to 4 GiB",
            png(1, 1, &[chunk(b"zTXt", &[b"t\0\0", bomb.as_slice()].concat()), start.clone()]),
            beside,
        ),
        ("sides of 100,000 pixels", png(100_000, 1, std::slice::from_ref(&start)), "pixels a side"),
        ("2.5 gigapixels", png(50_000, 50_000, std::slice::from_ref(&start)), "pixels a side"),
        ("144 megapixels", png(12_000, 12_000, std::slice::from_ref(&start)), "40000000 in all"),
    ];
    for (what, bytes, rule) in cases {
        let began = std::time::Instant::now();
        let problem = upload(&service.seller(), bytes).await.problem(400, "validation-failed");
        let error = &problem["errors"][0];
        assert_eq!(error["field"], "image", "{what}: {problem}");
        assert!(error["message"].as_str().unwrap().contains(rule), "{what}: {problem}");
        assert!(began.elapsed() < Duration::from_secs(5), "{what} took {:?}", began.elapsed());
    }
    let shopper = service.login(UserId(5), Role::Customer);
    upload(&shopper, good.clone()).await.problem(403, "forbidden");
    upload(&service.anyone(), good).await.problem(401, "login-required");
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM image").fetch_one(&service.pg).await.unwrap();
    assert_eq!((rows, std::fs::read_dir(service.image_folder()).unwrap().count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_refers_to_pictures_that_are_there_and_others_go_after_a_day() {
    let service = Service::start().await;
    let company = service.company().await;
    let [used, dropped, orphan] = [20, 21, 22].map(|side| file(&picture(side, side), ImageFormat::Png));
    let [used, dropped, orphan] = [
        uploaded(&service, used).await.key,
        uploaded(&service, dropped).await.key,
        uploaded(&service, orphan.clone()).await.key,
    ];
    let mut wish = service.wish(company, 5);
    wish["images"] = json!([used, "0".repeat(64)]);
    let problem =
        service.seller().post("/api/products", &wish).await.unwrap().problem(400, "validation-failed");
    assert_eq!(problem["errors"][0]["field"], "images[1]", "{problem}");
    wish["images"] = json!([used, dropped]);
    wish["saleStartTime"] = json!(service.clock.now() + Duration::from_secs(100 * 3_600));
    wish["saleEndTime"] = json!(service.clock.now() + Duration::from_secs(200 * 3_600));
    let made = service.seller().post("/api/products", &wish).await.unwrap().expect(201);
    assert_eq!(made.body["images"], wish["images"]);

    let is_there = async |key: &str, size: &str| {
        let answer = service.anyone().get(&format!("/images/{key}?size={size}")).await.unwrap();
        answer.status == 200
    };
    let gone = async |keys: &[&String]| {
        eventually(PATIENCE, async || {
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM image WHERE image_key = ANY($1)")
                .bind(keys)
                .fetch_one(&service.pg)
                .await?;
            anyhow::ensure!(left == 0, "{left} are left");
            Ok(())
        })
        .await;
    };
    service.clock.advance(Duration::from_secs(23 * 3_600));
    let path = format!("/api/products/{}", made.body["productId"]);
    wish["images"] = json!([used]);
    for registration in ["companyId", "stock"] {
        wish.as_object_mut().unwrap().remove(registration);
    }
    service.seller().put(&path, &wish).await.unwrap().expect(200);
    service.clock.advance(Duration::from_secs(2 * 3_600));
    gone(&[&orphan]).await;
    // What the product referred to two hours ago stays for a day.
    assert!(is_there(&used, "medium").await && is_there(&dropped, "medium").await);
    service.clock.advance(Duration::from_secs(23 * 3_600));
    gone(&[&dropped]).await;
    // Sizes that nobody has asked for: what was served before may be in memory for some minutes.
    assert!(is_there(&used, "small").await);
    assert!(!is_there(&orphan, "small").await && !is_there(&dropped, "small").await);
    // It may come again.
    let again = uploaded(&service, file(&picture(22, 22), ImageFormat::Png)).await;
    assert_eq!(again.key, orphan);
    assert!(is_there(&orphan, "small").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avif_is_served_as_what_every_browser_shows() {
    let service = Service::start().await;
    let upright = ["red", "green", "blue", "white"];
    for (file, size, expected) in [
        (AVIF, (64, 48), upright),
        (include_bytes!("pictures/lossless-444.avif"), (64, 48), upright),
        // Limited range; the box turns it by a quarter against the clock.
        (include_bytes!("pictures/turned-422.avif"), (48, 64), ["green", "white", "red", "blue"]),
    ] {
        let made = uploaded(&service, file.to_vec()).await;
        assert_eq!((made.width, made.height), size);
        let (kind, bytes) = served(&service, &made.key, "").await;
        assert_eq!(
            (kind.as_str(), fields(&image::load_from_memory(&bytes).unwrap())),
            ("image/jpeg", expected)
        );
    }
    // Ten bits, and a picture of its transparency.
    let made = uploaded(&service, include_bytes!("pictures/glass-444-10.avif").to_vec()).await;
    let (kind, bytes) = served(&service, &made.key, "").await;
    let shown = image::load_from_memory(&bytes).unwrap();
    assert_eq!((kind.as_str(), fields(&shown)), ("image/webp", upright));
    let alpha = |x| shown.to_rgba8().get_pixel(x, 24).0[3];
    assert_eq!((alpha(10), alpha(50)), (255, 100));
}

#[test]
fn no_broken_avif_breaks_anything() {
    use product::image::picture::render;
    for end in 0..AVIF.len() {
        assert!(render(&AVIF[..end]).is_err(), "cut at {end}");
    }
    // It may show something else, but it ends.
    for at in 0..AVIF.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut file = AVIF.to_vec();
            file[at] = value;
            render(&file).ok();
        }
    }
}
