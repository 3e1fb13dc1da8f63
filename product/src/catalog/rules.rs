//! Which fields a product may have, and which of them a running sale may change. Pure.

use chrono::{DateTime, SubsecRound as _};
use common::wire::Time;
use common::wire::id::CompanyId;
use common::wire::money::Won;

use super::{Fields, OptionWish, Wish};
use crate::error::Error;
use crate::field::Report;
use crate::sale::rules::check_policy;
use crate::sale::zone;

/// Units at registration, and of one adjustment, at most.
pub const STOCK_MAX: i64 = 10_000_000;
/// Options of a product at most.
const OPTIONS_MAX: usize = 50;
/// Pictures of a product at most.
const IMAGES_MAX: usize = 10;
/// Characters of a picture's key at most.
const IMAGE_KEY_MAX: usize = 200;
/// Sales lie between 2000 and 2200: every store and client can hold that.
const TIMES_S: std::ops::Range<i64> = 946_684_800..7_258_118_400;

/// A registration, checked.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Who sells it.
    pub company_id: CompanyId,
    /// Units.
    pub stock: i64,
    /// The rest.
    pub fields: Fields,
}

/// What a change does to a product.
#[derive(Debug, Clone)]
pub struct Change {
    /// The fields after it.
    pub fields: Fields,
    /// Units that a draft will begin with.
    pub stock: Option<i64>,
    /// A price is another one.
    pub reprices: bool,
    /// The options are others.
    pub replaces_options: bool,
}

/// Checks a registration.
///
/// # Errors
/// [`Error::Invalid`] with every field that breaks a rule.
pub fn registration(wish: Wish, now: Time) -> Result<Registration, Error> {
    let mut report = Report::default();
    let (company_id, stock) = (wish.company_id, wish.stock);
    let fields = complete(wish, None, &mut report);
    report.require(company_id.is_some(), "companyId", "is required");
    report.require(stock.is_some(), "stock", "is required");
    report.number("stock", stock.unwrap_or_default(), 0..=STOCK_MAX);
    check(&fields, &mut report);
    report.require(fields.sale_end_time > now, "saleEndTime", "is in the future");
    report.verdict()?;
    let (Some(company_id), Some(stock)) = (company_id, stock) else {
        unreachable!("the verdict refuses what lacks one");
    };
    Ok(Registration { company_id, stock, fields })
}

/// Checks a change of `was` at `now`.
///
/// # Errors
/// [`Error::Invalid`] with every field that breaks a rule; [`Error::SaleStarted`] with every field that the running
/// sale may not change.
pub fn change(wish: Wish, was: &Fields, now: Time) -> Result<Change, Error> {
    let mut report = Report::default();
    report.require(wish.company_id.is_none(), "companyId", "is set at registration alone");
    let rule = "is set before the product is published; later POST …/stock adds or takes units";
    report.require(wish.stock.is_none() || was.draft, "stock", rule);
    report.number("stock", wish.stock.unwrap_or_default(), 0..=STOCK_MAX);
    let withdrawn = wish.draft == Some(true) && !was.draft;
    report.require(!withdrawn, "draft", "a published product is no draft again");
    let stock = wish.stock;
    let fields = complete(wish, Some(was), &mut report);
    check(&fields, &mut report);
    let same_end = fields.sale_end_time == was.sale_end_time && fields.draft == was.draft;
    report.require(same_end || fields.sale_end_time > now, "saleEndTime", "is in the future");
    report.verdict()?;
    if !was.draft && now >= was.sale_start_time {
        check_running(&fields, was)?;
    }
    let replaces_options = fields.options != was.options;
    let reprices = replaces_options
        || fields.original_price != was.original_price
        || fields.discounted_price != was.discounted_price;
    Ok(Change { fields, stock, reprices, replaces_options })
}

/// Once a sale has begun, shoppers rely on what they saw: only its end, its texts and its room may change.
fn check_running(fields: &Fields, was: &Fields) -> Result<(), Error> {
    let mut report = Report::default();
    let mut same =
        |same: bool, field: &str| report.require(same, field, "cannot change after the sale's start");
    same(fields.original_price == was.original_price, "originalPrice");
    same(fields.discounted_price == was.discounted_price, "discountedPrice");
    same(fields.options == was.options, "productOptions");
    same(fields.category_code == was.category_code, "categoryCode");
    same(fields.sale_start_time == was.sale_start_time, "saleStartTime");
    same(fields.purchase_limit == was.purchase_limit, "purchaseLimit");
    same(fields.images == was.images, "images");
    let broken = report.errors();
    if broken.is_empty() { Ok(()) } else { Err(Error::SaleStarted(broken)) }
}

/// A window that breaks no rule: stands in the place of times that could not be read, which are reported by then.
const UNREAD: (Time, Time) = (moment(TIMES_S.start), moment(TIMES_S.end - 1));

const fn moment(second: i64) -> Time {
    DateTime::from_timestamp(second, 0).expect("chrono holds the years 2000 to 2200")
}

/// Fills in what was not named: from the product as it was, or the defaults.
fn complete(wish: Wish, was: Option<&Fields>, report: &mut Report) -> Fields {
    let sale_zone = wish.sale_zone.or_else(|| was.and_then(|was| was.sale_zone.clone()));
    let zone = zone::named(sale_zone.as_deref(), report);
    let mut read = |field: &str, text: &str, unread| {
        let at = zone::moment(text, zone);
        report.require(at.is_ok(), field, at.as_ref().err().cloned().unwrap_or_default());
        // PostgreSQL keeps microseconds: a stored moment equals the one answered.
        at.map_or(unread, |at| at.trunc_subsecs(6))
    };
    Fields {
        product_name: wish.product_name,
        description: wish.description.or_else(|| was.map(|was| was.description.clone())).unwrap_or_default(),
        original_price: wish.original_price,
        discounted_price: wish.discounted_price,
        options: wish.product_options.or_else(|| was.map(|was| was.options.clone())).unwrap_or_default(),
        category_code: wish.category_code,
        sale_start_time: read("saleStartTime", &wish.sale_start_time, UNREAD.0),
        sale_end_time: read("saleEndTime", &wish.sale_end_time, UNREAD.1),
        sale_zone,
        draft: wish.draft.unwrap_or_else(|| was.is_some_and(|was| was.draft)),
        // Out of range becomes 0, which the check refuses.
        purchase_limit: match wish.purchase_limit {
            Some(limit) => u32::try_from(limit).unwrap_or(0),
            None => was.map_or(1, |was| was.purchase_limit),
        },
        images: wish.images.or_else(|| was.map(|was| was.images.clone())).unwrap_or_default(),
        queue: wish.queue.or_else(|| was.map(|was| was.queue.clone())).unwrap_or_default(),
    }
}

fn check(fields: &Fields, report: &mut Report) {
    report.text("productName", &fields.product_name, 1..=50);
    report.text("description", &fields.description, 0..=1_000);
    report.number("originalPrice", fields.original_price.0, 1..=Won::PRICE_MAX.0);
    report.number("discountedPrice", fields.discounted_price.0, 1..=Won::PRICE_MAX.0);
    let discounted = fields.discounted_price <= fields.original_price;
    report.require(discounted, "discountedPrice", "is at most the original price");
    report.number("purchaseLimit", fields.purchase_limit.into(), 1..=100);
    check_options(fields, report);
    check_window(fields, report);
    report.require(fields.images.len() <= IMAGES_MAX, "images", format!("at most {IMAGES_MAX}"));
    for (index, key) in fields.images.iter().take(IMAGES_MAX).enumerate() {
        report.text(format!("images[{index}]"), key, 1..=IMAGE_KEY_MAX);
    }
    check_policy(&fields.queue, report);
}

fn check_options(fields: &Fields, report: &mut Report) {
    let rule = format!("at most {OPTIONS_MAX}");
    report.require(fields.options.len() <= OPTIONS_MAX, "productOptions", rule);
    for (index, option) in fields.options.iter().take(OPTIONS_MAX).enumerate() {
        let OptionWish { option_name, option_value, option_price } = option;
        let field = |name: &str| format!("productOptions[{index}].{name}");
        report.text(field("optionName"), option_name, 1..=20);
        report.text(field("optionValue"), option_value, 1..=100);
        let price = fields.discounted_price.checked_add(*option_price);
        let sellable = price.is_some_and(|price| price >= Won(1) && price <= Won::PRICE_MAX);
        let rule = format!("the price with it is 1 to {}", Won::PRICE_MAX);
        report.require(sellable, field("optionPrice"), rule);
    }
}

fn check_window(fields: &Fields, report: &mut Report) {
    let representable = |at: DateTime<_>| TIMES_S.contains(&at.timestamp());
    report.require(representable(fields.sale_start_time), "saleStartTime", "between 2000 and 2200");
    report.require(representable(fields.sale_end_time), "saleEndTime", "between 2000 and 2200");
    let ordered = fields.sale_end_time > fields.sale_start_time;
    report.require(ordered, "saleEndTime", "is after saleStartTime");
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use common::wire::product::QueuePolicy;

    use super::*;

    fn now() -> Time {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn wish() -> Wish {
        Wish {
            company_id: Some(CompanyId(1)),
            product_name: "lamp".into(),
            description: None,
            original_price: Won(1_000),
            discounted_price: Won(900),
            stock: Some(10),
            product_options: Some(vec![OptionWish {
                option_name: "colour".into(),
                option_value: "red".into(),
                option_price: Won(-100),
            }]),
            category_code: 1_000,
            sale_start_time: (now() - TimeDelta::seconds(57)).to_rfc3339(),
            sale_end_time: (now() + TimeDelta::hours(1)).to_rfc3339(),
            sale_zone: None,
            draft: None,
            purchase_limit: None,
            images: None,
            queue: None,
        }
    }

    fn broken(wish: Wish) -> Vec<String> {
        match registration(wish, now()) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_named_has_its_default() {
        let made = registration(wish(), now()).unwrap();
        assert_eq!(made.fields.purchase_limit, 1);
        assert_eq!(made.fields.queue, QueuePolicy::default());
        assert_eq!((made.stock, made.fields.description.as_str()), (10, ""));
    }

    #[test]
    fn every_broken_rule_names_its_field() {
        type Spoil = fn(&mut Wish);
        let table: [(&str, Spoil); 25] = [
            ("companyId", |w| w.company_id = None),
            ("stock", |w| w.stock = None),
            ("stock", |w| w.stock = Some(-1)),
            ("stock", |w| w.stock = Some(STOCK_MAX + 1)),
            ("productName", |w| w.product_name = String::new()),
            ("productName", |w| w.product_name = "  ".into()),
            ("productName", |w| w.product_name = "a".repeat(51)),
            ("productName", |w| w.product_name = "a\0".into()),
            ("description", |w| w.description = Some("a".repeat(1_001))),
            ("originalPrice", |w| w.original_price = Won(Won::PRICE_MAX.0 + 1)),
            ("discountedPrice", |w| w.discounted_price = Won(1_001)),
            ("purchaseLimit", |w| w.purchase_limit = Some(0)),
            ("purchaseLimit", |w| w.purchase_limit = Some(-1)),
            ("purchaseLimit", |w| w.purchase_limit = Some(101)),
            ("productOptions[0].optionName", |w| options(w)[0].option_name = "a".repeat(21)),
            ("productOptions[0].optionValue", |w| options(w)[0].option_value = String::new()),
            ("productOptions[0].optionPrice", |w| options(w)[0].option_price = Won(-900)),
            ("productOptions[0].optionPrice", |w| options(w)[0].option_price = Won(i64::MAX)),
            ("saleEndTime", |w| w.sale_end_time = w.sale_start_time.clone()),
            ("saleStartTime", |w| w.sale_start_time = "1970-01-01T00:00:00Z".into()),
            ("saleStartTime", |w| w.sale_start_time = "tomorrow".into()),
            ("saleEndTime", |w| w.sale_end_time = "2027-01-15T10:00".into()),
            ("saleZone", |w| w.sale_zone = Some("Atlantis".into())),
            ("images[0]", |w| w.images = Some(vec![String::new()])),
            ("queue.count", |w| w.queue = Some(QueuePolicy { count: 0, ..QueuePolicy::default() })),
        ];
        for (field, spoil) in table {
            let mut wish = wish();
            spoil(&mut wish);
            assert!(broken(wish).iter().any(|broken| broken == field), "{field}");
        }
        let mut many = wish();
        many.product_options = Some(options(&mut wish()).iter().cycle().take(51).cloned().collect());
        assert_eq!(broken(many), ["productOptions"]);
        let mut over = wish();
        over.sale_end_time = now().to_rfc3339();
        assert_eq!(broken(over), ["saleEndTime"]);
    }

    fn options(wish: &mut Wish) -> &mut Vec<OptionWish> {
        wish.product_options.as_mut().unwrap()
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let mut wish = wish();
        wish.product_name = "가".repeat(50);
        assert!(registration(wish, now()).is_ok());
    }

    fn later() -> Wish {
        Wish { company_id: None, stock: None, ..wish() }
    }

    #[test]
    fn a_change_never_moves_the_company_or_the_stock() {
        let was = registration(wish(), now()).unwrap().fields;
        let Err(Error::Invalid(errors)) = change(wish(), &was, now()) else { panic!("accepted") };
        let fields: Vec<_> = errors.into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["companyId", "stock"]);
    }

    #[test]
    fn a_running_sale_changes_only_its_end_its_texts_and_its_room() {
        let was = registration(wish(), now()).unwrap().fields;
        let mut allowed = later();
        allowed.product_name = "lamp, new".into();
        allowed.description = Some("bright".into());
        allowed.sale_end_time = (now() + TimeDelta::hours(2)).to_rfc3339();
        allowed.queue = Some(QueuePolicy { count: 7, ..QueuePolicy::default() });
        let made = change(allowed, &was, now()).unwrap();
        assert!(!made.reprices && !made.replaces_options);

        let mut refused = later();
        refused.discounted_price = Won(800);
        refused.purchase_limit = Some(2);
        refused.category_code = 2_000;
        let Err(Error::SaleStarted(errors)) = change(refused.clone(), &was, now()) else {
            panic!("accepted")
        };
        let fields: Vec<_> = errors.into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["discountedPrice", "categoryCode", "purchaseLimit"]);

        let before = was.sale_start_time - TimeDelta::seconds(1);
        assert!(change(refused, &was, before).unwrap().reprices);
    }

    #[test]
    fn a_draft_may_change_all_of_it_until_it_is_published() {
        let draft = Wish { draft: Some(true), ..wish() };
        let was = registration(draft, now()).unwrap().fields;
        let much = Wish { discounted_price: Won(800), purchase_limit: Some(2), stock: Some(7), ..later() };
        let made = change(much.clone(), &was, now()).unwrap();
        assert!(made.fields.draft && made.reprices && made.stock == Some(7));
        let published = change(Wish { draft: Some(false), ..much }, &was, now()).unwrap();
        assert!(!published.fields.draft);
        let back = Wish { draft: Some(true), ..later() };
        let Err(Error::Invalid(errors)) = change(back, &published.fields, now()) else { panic!("accepted") };
        assert_eq!(errors[0].field, "draft");
        // What waited too long is not published into the past.
        let late = Wish { draft: Some(false), ..later() };
        let Err(Error::Invalid(errors)) = change(late, &was, was.sale_end_time) else { panic!("accepted") };
        assert_eq!(errors[0].field, "saleEndTime");
    }

    #[test]
    fn an_ended_sale_keeps_its_end_but_gets_no_new_one_in_the_past() {
        let was = registration(wish(), now()).unwrap().fields;
        let after = was.sale_end_time + TimeDelta::seconds(1);
        assert!(change(later(), &was, after).is_ok());
        let mut moved = later();
        moved.sale_end_time = now().to_rfc3339();
        assert!(matches!(change(moved, &was, after), Err(Error::Invalid(_))));
    }
}
