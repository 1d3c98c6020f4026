//! Settings of notifications.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::secrets::{Sources, configured};
use super::{ConfigError, Environment, set};

/// A restart of a host, or of its network, takes less.
const DEFAULT_OFFLINE: Duration = Duration::from_secs(15 * 60);

/// Flags of `serve` about notifications.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NotifyArgs {
    /// Address of an Apprise API, like https://apprise.example/notify/KEY
    #[arg(
        long,
        env = "NIXFLEET_NOTIFY_APPRISE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub notify_apprise_url: Option<String>,
    /// Address of an ntfy topic, like https://ntfy.sh/TOPIC
    #[arg(
        long,
        env = "NIXFLEET_NOTIFY_NTFY_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub notify_ntfy_url: Option<String>,
    /// File with the token for ntfy
    #[arg(long, env = "NIXFLEET_NOTIFY_NTFY_TOKEN_FILE", value_name = "FILE")]
    pub notify_ntfy_token_file: Option<String>,
    /// Address that gets notices as signed JSON
    #[arg(
        long,
        env = "NIXFLEET_NOTIFY_WEBHOOK_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub notify_webhook_url: Option<String>,
    /// File with the secret that signs them
    #[arg(long, env = "NIXFLEET_NOTIFY_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub notify_webhook_secret_file: Option<String>,
    /// After how long a host that is offline is worth a notice [default: 15m]
    #[arg(long, env = "NIXFLEET_OFFLINE_NOTICE", value_name = "DURATION")]
    pub offline_notice: Option<String>,
}

/// Where notices go.
#[derive(Clone)]
pub struct NotifySettings {
    /// An Apprise API: the key is in the address, or no key and the services in its configuration.
    pub apprise: Option<Url>,
    /// An ntfy topic.
    pub ntfy: Option<Ntfy>,
    /// An address that gets signed JSON.
    pub webhook: Option<SignedWebhook>,
    /// After how long a host that is offline is worth a notice.
    pub offline_after: Duration,
}

/// An ntfy topic. Who knows its name can read it.
#[derive(Clone)]
pub struct Ntfy {
    /// The server.
    pub server: Url,
    /// The topic.
    pub topic: String,
    /// What opens it, if it is protected.
    pub token: Option<SecretString>,
}

/// An address that gets signed JSON.
#[derive(Clone)]
pub struct SignedWebhook {
    /// The address.
    pub url: Url,
    /// What signs it.
    pub secret: SecretString,
}

/// Addresses hold keys and topics, so only hosts are shown.
impl std::fmt::Debug for NotifySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
        f.debug_struct("NotifySettings")
            .field("apprise", &self.apprise.as_ref().map(host))
            .field("ntfy", &self.ntfy.as_ref().map(|ntfy| host(&ntfy.server)))
            .field(
                "webhook",
                &self.webhook.as_ref().map(|hook| host(&hook.url)),
            )
            .finish()
    }
}

const NTFY_TOKEN: Sources = Sources {
    setting: "NIXFLEET_NOTIFY_NTFY_TOKEN",
    file_setting: "NIXFLEET_NOTIFY_NTFY_TOKEN_FILE",
    name: "ntfy-token",
    missing: "not set",
};
const WEBHOOK_SECRET: Sources = Sources {
    setting: "NIXFLEET_NOTIFY_WEBHOOK_SECRET",
    file_setting: "NIXFLEET_NOTIFY_WEBHOOK_SECRET_FILE",
    name: "notify-webhook-secret",
    missing: "not set. The receiver could not tell our notices from others; set it (or \
              NIXFLEET_NOTIFY_WEBHOOK_SECRET_FILE) to at least 16 random characters",
};

impl NotifySettings {
    pub(super) fn load(
        args: &NotifyArgs,
        environment: Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let apprise = set(&args.notify_apprise_url)
            .map(|text| target("NIXFLEET_NOTIFY_APPRISE_URL", text))
            .transpose()?;
        let token = configured(&NTFY_TOKEN, set(&args.notify_ntfy_token_file), environment)?;
        if token
            .as_ref()
            .is_some_and(|token| !token.expose_secret().bytes().all(|b| b.is_ascii_graphic()))
        {
            let problem = "expected visible ASCII characters without spaces";
            return Err(ConfigError::new(NTFY_TOKEN.setting, problem));
        }
        let ntfy = set(&args.notify_ntfy_url)
            .map(|text| ntfy(text, token))
            .transpose()?;
        let secret = configured(
            &WEBHOOK_SECRET,
            set(&args.notify_webhook_secret_file),
            environment,
        )?;
        let webhook = set(&args.notify_webhook_url)
            .map(|text| webhook(text, secret))
            .transpose()?;
        let offline = set(&args.offline_notice);
        let offline_after = super::duration("NIXFLEET_OFFLINE_NOTICE", offline, DEFAULT_OFFLINE)?;
        Ok(Self {
            apprise,
            ntfy,
            webhook,
            offline_after,
        })
    }
}

/// An address that somebody may be told things at. Its path may be a key, so it is not repeated.
fn target(setting: &'static str, text: &str) -> Result<Url, ConfigError> {
    let expected = "expected an https URL without user and password (http only to this machine or \
                    a private network)";
    let refused = || ConfigError::new(setting, expected);
    let url = Url::parse(text).map_err(|_| refused())?;
    let plain = url.username().is_empty() && url.password().is_none();
    let safe = match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => is_near(&url),
        _ => false,
    };
    if plain && safe {
        Ok(url)
    } else {
        Err(refused())
    }
}

/// Names without a dot, and addresses that are not of the public Internet.
fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            !name.contains('.')
                || [".local", ".lan", ".home.arpa", ".internal"]
                    .iter()
                    .any(|end| name.ends_with(end))
        }
        Some(Host::Ipv4(address)) => !crate::forge::address::is_public(address.into()),
        Some(Host::Ipv6(address)) => !crate::forge::address::is_public(address.into()),
        None => false,
    }
}

fn ntfy(text: &str, token: Option<SecretString>) -> Result<Ntfy, ConfigError> {
    const SETTING: &str = "NIXFLEET_NOTIFY_NTFY_URL";
    let mut server = target(SETTING, text)?;
    let topic = server.path().trim_matches('/').to_owned();
    let usable = (1..=64).contains(&topic.len())
        && topic
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !usable || server.query().is_some() {
        let problem = "expected the address of a topic, like https://ntfy.sh/TOPIC";
        return Err(ConfigError::new(SETTING, problem));
    }
    server.set_path("/");
    Ok(Ntfy {
        server,
        topic,
        token,
    })
}

fn webhook(text: &str, secret: Option<SecretString>) -> Result<SignedWebhook, ConfigError> {
    let url = target("NIXFLEET_NOTIFY_WEBHOOK_URL", text)?;
    let refused = || ConfigError::new(WEBHOOK_SECRET.setting, WEBHOOK_SECRET.missing);
    let secret = secret.ok_or_else(refused)?;
    if secret.expose_secret().len() < 16 {
        let problem = "expected at least 16 characters";
        return Err(ConfigError::new(WEBHOOK_SECRET.setting, problem));
    }
    Ok(SignedWebhook { url, secret })
}
