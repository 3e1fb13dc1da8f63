use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use common::auth::key::SigningKey;
use common::config::Secret;
use common::wire::token::Jwks;

use super::{LONG, TestUser};

/// Key files of a test's own.
struct Files {
    folder: PathBuf,
    all: [PathBuf; 3],
}

impl Files {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("astraphe-rotate-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        let all = ["active.pem", "next.pem", "retired.pem"].map(|name| folder.join(name));
        Self { folder, all }
    }

    fn kids(&self) -> [String; 3] {
        self.all.each_ref().map(|file| SigningKey::read(file).unwrap().kid().to_owned())
    }

    fn rotate(&self, more: &[&str]) -> Output {
        let files = self.all.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",");
        let mut command = Command::new(env!("CARGO_BIN_EXE_user"));
        command.arg("rotate-keys").args(more).env_clear().env("IDENTITY_KEY_FILE", files).output().unwrap()
    }

    /// As if nothing had happened for so long.
    fn rest(&self, seconds: u64) {
        for file in &self.all {
            let then = file.metadata().unwrap().modified().unwrap() - Duration::from_secs(seconds);
            std::fs::File::options().append(true).open(file).unwrap().set_modified(then).unwrap();
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl TestUser {
    async fn published(&self) -> Vec<String> {
        let jwks: Jwks = self.http.get("/.well-known/jwks.json").await.unwrap().expect(200).body();
        jwks.keys.into_iter().map(|key| key.kid).collect()
    }
}

#[tokio::test]
async fn keys_move_on_while_the_service_runs_and_tokens_of_before_count() {
    let files = Files::new();
    let made = files.rotate(&[]);
    assert!(made.status.success(), "{made:?}");
    let before = files.kids();
    let user = TestUser::start_with(|config| config.identity_key_files = files.all.to_vec()).await;
    let (_, old) = user.person("sujin01").await;
    assert_eq!(user.published().await, before);
    for file in &files.all {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    let early = files.rotate(&[]);
    assert!(!early.status.success() && files.kids() == before);
    let early = String::from_utf8(early.stderr).unwrap();
    assert!(early.contains("try again in"), "{early}");

    files.rest(961);
    let rotated = files.rotate(&[]);
    assert!(rotated.status.success(), "{rotated:?}");
    let after = files.kids();
    assert_eq!((&after[0], &after[2]), (&before[1], &before[0]));
    assert!(!before.contains(&after[1]));
    let said = String::from_utf8(rotated.stdout).unwrap();
    assert_eq!(said, format!("signs   {}\nnext    {}\nretired {}\n", after[0], after[1], after[2]));
    testkit::eventually(LONG, async || {
        let published = user.published().await;
        anyhow::ensure!(published == after, "{published:?}");
        Ok(())
    })
    .await;
    old.get("/api/users/me").await.unwrap().expect(200);
    let login = user.log_in("sujin01").await;
    let header = login.access_token.split('.').next().unwrap();
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).unwrap();
    assert!(String::from_utf8(header).unwrap().contains(&after[0]), "the new key signs");
    user.http.login(&login.access_token).get("/api/users/me").await.unwrap().expect(200);
    assert!(files.rotate(&["--force"]).status.success());
    assert!(files.all[2].metadata().unwrap().modified().unwrap() > SystemTime::UNIX_EPOCH);
}

#[tokio::test]
async fn keys_may_stand_in_the_environment() {
    let files = Files::new();
    files.rotate(&[]);
    let text: String = files.all.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let user = TestUser::start_with(|config| {
        config.identity_key_files.clear();
        config.identity_keys = Some(Secret(text));
    })
    .await;
    assert_eq!(user.published().await, files.kids());
    let (_, http) = user.person("sujin01").await;
    http.get("/api/users/me").await.unwrap().expect(200);
}

#[test]
fn a_rotation_needs_three_files() {
    let output = Command::new(env!("CARGO_BIN_EXE_user"))
        .args(["rotate-keys", "one.pem,two.pem"])
        .env_clear()
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("needs three files"));
}
