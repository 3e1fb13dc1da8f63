//! The plain page's words, in Korean and English: the same as in `web/queue/wait.html`.

use common::wire::queue::{QueueState, WaitReason};

/// One of the page's languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Korean,
    English,
}

impl Language {
    /// The one that an `Accept-Language` names first, English where it names neither. Browsers name the preferred one
    /// first, so that weights need not be read.
    pub(super) fn preferred(accepted: &str) -> Self {
        let tags = accepted.split([',', ';']).map(|tag| tag.trim().to_ascii_lowercase());
        let is = |tag: &str, name: &str| tag == name || tag.starts_with(&format!("{name}-"));
        let mut known = tags.filter_map(|tag| match () {
            () if is(&tag, "ko") => Some(Self::Korean),
            () if is(&tag, "en") => Some(Self::English),
            () => None,
        });
        known.next().unwrap_or(Self::English)
    }

    /// For `lang`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }
}

/// The words in a language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words(pub(super) Language);

impl Words {
    fn of(self, korean: &'static str, english: &'static str) -> &'static str {
        match self.0 {
            Language::Korean => korean,
            Language::English => english,
        }
    }

    pub(super) fn heading(self, state: QueueState, has_rank: bool) -> &'static str {
        match state {
            QueueState::None => self.of("아직 줄을 서지 않았습니다", "You are not in the line"),
            QueueState::Waiting if has_rank => self.of("내 대기 순서", "Your place in the line"),
            QueueState::Waiting => self.of("추첨을 기다리고 있습니다", "You are in the draw"),
            QueueState::Ready => self.of("입장할 차례입니다", "It is your turn"),
            QueueState::Admitted => self.of("입장했습니다", "You are in"),
            QueueState::Completed => self.of("주문했습니다", "You have ordered"),
            QueueState::Left => self.of("줄에서 나왔습니다", "You left the line"),
            QueueState::Expired => self.of("시간이 지나 순서가 사라졌습니다", "Your place has run out"),
            QueueState::SoldOut => self.of("품절되었습니다", "Sold out"),
            QueueState::Closed => self.of("판매가 끝났습니다", "The sale is over"),
        }
    }

    pub(super) fn reason(self, reason: WaitReason) -> &'static str {
        match reason {
            WaitReason::NotOpen => {
                self.of("아직 입장이 시작되지 않았습니다.", "The line has not started moving yet.")
            }
            WaitReason::AllReserved => self.of(
                "지금은 모두 예약되었습니다. 취소되면 다시 나올 수 있으니 순서는 그대로 유지됩니다.",
                "Every unit is reserved at the moment. Some may come back, and you keep your place.",
            ),
            WaitReason::Stopped => self.of(
                "판매자가 입장을 중지했습니다. 순서는 유지됩니다.",
                "The shop has stopped the line. You keep your place.",
            ),
            WaitReason::Held => self.of(
                "판매자가 입장을 잠시 멈췄습니다. 순서는 유지됩니다.",
                "The shop has paused the line. You keep your place.",
            ),
            WaitReason::Slower => {
                self.of("입장이 예상보다 느려지고 있습니다.", "The line moves more slowly than it did.")
            }
            WaitReason::RoomUnavailable => self.of(
                "대기실에 연결할 수 없어 마지막으로 확인된 순서를 보여 드립니다. 자동으로 다시 연결됩니다.",
                "The waiting room cannot be reached at the moment: this is your last known place. It comes back by itself.",
            ),
        }
    }

    /// For a code of docs/API.md; one text for all that passes by itself.
    pub(super) fn problem(self, code: &str) -> &'static str {
        match code {
            "wrong-credentials" => {
                self.of("아이디 또는 비밀번호가 올바르지 않습니다.", "The login id or the password is wrong.")
            }
            "unknown-product" => self.of("없는 상품입니다.", "There is no such product."),
            "sale-closed" => self.of("판매가 끝났습니다.", "The sale is over."),
            "purchase-limit-reached" => {
                self.of("1인당 구매 수량을 모두 구매했습니다.", "You have bought as many as one person may.")
            }
            "not-ready" => self.of("아직 차례가 아닙니다.", "It is not your turn."),
            "already-admitted" => self.of("이미 입장했습니다.", "You are in already."),
            "room-unavailable" => self.of(
                "대기실에 연결할 수 없습니다. 순서는 유지되며 자동으로 다시 연결합니다.",
                "The waiting room cannot be reached. You keep your place, and the page tries again by itself.",
            ),
            _ => self.of(
                "접속자가 많습니다. 잠시 후 다시 시도해 주세요.",
                "Too many people at once. Please try again in a moment.",
            ),
        }
    }

    /// In front of the time that is left in a state.
    pub(super) fn left(self, state: QueueState) -> &'static str {
        match state {
            QueueState::Waiting => self.of("입장 시작까지", "Opens in"),
            QueueState::Ready => self.of("남은 입장 시간", "Time left to come in"),
            _ => self.of("남은 주문 시간", "Time left to order"),
        }
    }

    /// Before, after, and the expected wait.
    pub(super) fn figures(self) -> [&'static str; 3] {
        [
            self.of("내 앞", "Before you"),
            self.of("내 뒤", "After you"),
            self.of("예상 대기 시간", "Expected wait"),
        ]
    }

    /// A wait between two bounds in seconds, in whole minutes.
    pub(super) fn eta(self, low_s: Option<u64>, high_s: Option<u64>) -> String {
        match (low_s, high_s) {
            (Some(low), Some(high)) => {
                format!("{}–{} {}", low / 60, high.div_ceil(60), self.of("분", "min"))
            }
            _ => self.of("아직 알 수 없음", "not known yet").into(),
        }
    }

    pub(super) fn join(self) -> &'static str {
        self.of("줄 서기", "Join the line")
    }

    pub(super) fn enter(self) -> &'static str {
        self.of("입장하기", "Come in")
    }

    pub(super) fn leave(self) -> &'static str {
        self.of("줄에서 나가기", "Leave the line")
    }

    pub(super) fn stay(self) -> &'static str {
        self.of("계속 기다리기", "Keep waiting")
    }

    pub(super) fn sure(self) -> &'static str {
        self.of(
            "정말 나가시겠습니까? 지금 순서를 잃고 다시 맨 뒤에 서야 합니다.",
            "Really leave? You lose this place, and would have to start again at the very end.",
        )
    }

    pub(super) fn keep(self) -> &'static str {
        self.of(
            "이 페이지는 자동으로 새로고침됩니다. 다른 기기로 들어와도 순서는 유지되며, 나가기를 누를 때만 순서를 잃습니다.",
            "This page renews itself. You keep your place when you open it elsewhere. Only leaving gives it up.",
        )
    }

    pub(super) fn product(self) -> &'static str {
        self.of("상품 페이지로 (스크립트가 필요합니다)", "To the product (that page needs a script)")
    }

    /// Title, login id, password, button.
    pub(super) fn login(self) -> [&'static str; 4] {
        match self.0 {
            Language::Korean => ["로그인하면 순서를 볼 수 있습니다", "아이디", "비밀번호", "로그인"],
            Language::English => ["Log in to see your place", "Login id", "Password", "Log in"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_named_first_is_taken() {
        for (accepted, language) in [
            ("", Language::English),
            ("ko", Language::Korean),
            ("ko-KR,ko;q=0.9,en;q=0.8", Language::Korean),
            ("en-US,en;q=0.9,ko;q=0.8", Language::English),
            ("fr, KO-kr;q=0.5", Language::Korean),
            ("kok, de", Language::English),
        ] {
            assert_eq!(Language::preferred(accepted), language, "{accepted}");
        }
    }
}
