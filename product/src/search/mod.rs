//! Finding products: by words, company, category, price, state and start, in six orders.
//!
//! Everything stands in PostgreSQL's indexes (`migrations/0004_search.sql`, `0009_search_lexemes.sql`, `0011_search_walks.sql`); an answer is kept for a second in this
//! process, so that a crowd that asks the same thing asks the database once.
//!
//! - [`rules`]: what may be asked. [`store`]: SQL. [`http`]: its URL.

pub mod http;
pub mod rules;
pub mod store;

use common::wire::Time;
use common::wire::id::{CompanyId, ProductId};
use common::wire::product::SaleState;

/// An order of the products. Equal ones come by their ids, in the same direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Registered last first.
    #[default]
    Newest,
    /// Changed last first.
    Updated,
    /// Cheapest first.
    PriceUp,
    /// Dearest first.
    PriceDown,
    /// What has not begun, the next to begin first.
    OpeningSoon,
    /// Most liked first.
    Popular,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Newest, Self::Updated, Self::PriceUp, Self::PriceDown, Self::OpeningSoon, Self::Popular];

    /// As clients name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Updated => "updated",
            Self::PriceUp => "priceUp",
            Self::PriceDown => "priceDown",
            Self::OpeningSoon => "openingSoon",
            Self::Popular => "popular",
        }
    }
}

/// Where an answer goes on: behind this product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// What the product is sorted by: microseconds since 1970, won or likes.
    pub value: i64,
    /// The product.
    pub product: ProductId,
}

/// Which part of what was found is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// A page: so many, after so many.
    Page {
        /// Items on it.
        size: i64,
        /// Items before it.
        offset: i64,
    },
    /// What comes next.
    Next {
        /// Items at most.
        limit: i64,
        /// Where the last answer ended; none at the beginning.
        after: Option<Cursor>,
    },
}

/// What is searched for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// With these words in its name, as the client wrote them.
    pub words: Option<String>,
    /// Of this company.
    pub company: Option<CompanyId>,
    /// In this category, or one below it.
    pub category: Option<i32>,
    /// At least this price.
    pub price_min: Option<i64>,
    /// At most this price.
    pub price_max: Option<i64>,
    /// In this state, as it was told last.
    pub state: Option<SaleState>,
    /// Beginning at this moment or later.
    pub starts_from: Option<Time>,
    /// Beginning before this moment.
    pub starts_to: Option<Time>,
    /// In this order.
    pub sort: Sort,
}

/// A search, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    /// What for.
    pub filter: Filter,
    /// Which part of it.
    pub part: Part,
}
