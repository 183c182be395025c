//! Deployments at Azure. A tuned model is callable only after a deployment through the management API.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::http::Http;
use super::rest::{Rest, text};
use super::{Endpoint, ProviderError};

/// Version of the management API.
const VERSION: &str = "2024-10-01";
/// Environment variable with the token of the management API.
pub const MANAGEMENT_TOKEN: &str = "AZURE_MANAGEMENT_TOKEN";

/// Where and how a tuned model is deployed.
#[derive(Debug, Clone)]
pub struct DeploymentSettings {
    /// Address of the management API, as in `https://management.azure.com`.
    pub management_url: String,
    /// Resource id: `/subscriptions/…/resourceGroups/…/providers/Microsoft.CognitiveServices/accounts/…`.
    pub resource: String,
    /// Name of the deployment, which requests give as the model.
    pub name: String,
    /// Billing tier, as in `Standard` or `DeveloperTier`.
    pub sku: String,
    /// Capacity in thousands of tokens per minute.
    pub capacity: u32,
    /// Token of the management API.
    pub token: Option<SecretString>,
}

/// Client of one deployment.
pub(super) struct Deployment {
    rest: Rest,
    settings: DeploymentSettings,
}

impl Deployment {
    pub(super) fn new(settings: DeploymentSettings, like: &Endpoint) -> Result<Self, ProviderError> {
        let parts = settings.resource.trim_matches('/').split('/').count();
        if parts != 8 || !settings.resource.starts_with("/subscriptions/") {
            let what = "`azure.resource` is not the id of a resource: expected \
                        /subscriptions/ID/resourceGroups/NAME/providers/Microsoft.CognitiveServices/accounts/NAME";
            return Err(ProviderError::Setup(what.into()));
        }
        if settings.token.is_none() {
            return Err(ProviderError::Setup(format!(
                "deploying at Azure needs a token in {MANAGEMENT_TOKEN}: \
                 `az account get-access-token --resource https://management.azure.com` prints one"
            )));
        }
        let endpoint = Endpoint {
            base_url: settings.management_url.clone(),
            key: settings.token.clone(),
            key_variable: MANAGEMENT_TOKEN.into(),
            timeout: like.timeout,
            certificates: like.certificates.clone(),
            query: format!("api-version={VERSION}"),
            ..Endpoint::default()
        };
        Ok(Self { rest: Rest { http: Http::new(&endpoint)?, redact: None }, settings })
    }

    fn path(&self) -> String {
        format!("/{}/deployments/{}", self.settings.resource.trim_matches('/'), self.settings.name)
    }

    /// Makes the deployment serve `model`. Returns the name to ask it by, or `None` while the deployment is not ready.
    pub(super) async fn serve(&self, model: &str) -> Result<Option<String>, ProviderError> {
        let there = match self.rest.call(Method::GET, &self.path(), None).await {
            Err(ProviderError::Refused { status: 404, .. }) => None,
            found => Some(found?),
        };
        let served = |value: &Value| value.pointer("/properties/model").and_then(|m| text(m, "name"));
        let there = match there.filter(|value| served(value).as_deref() == Some(model)) {
            Some(there) => there,
            None => {
                let body = json!({
                    "sku": {"name": self.settings.sku, "capacity": self.settings.capacity},
                    "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}}});
                self.rest.call(Method::PUT, &self.path(), Some(&body)).await?
            }
        };
        let state = there.pointer("/properties").and_then(|p| text(p, "provisioningState")).unwrap_or_default();
        match state.as_str() {
            "Succeeded" => Ok(Some(self.settings.name.clone())),
            "Failed" | "Canceled" | "Deleting" | "Disabled" => Err(ProviderError::Refused {
                status: 200,
                code: "deployment".into(),
                message: format!(
                    "the deployment {} is in the state {state}: look at it in the portal",
                    self.settings.name
                ),
            }),
            _ => Ok(None),
        }
    }

    /// Deletes the deployment, which is billed by the hour.
    pub(super) async fn remove(&self) -> Result<(), ProviderError> {
        self.rest.remove(self.path()).await
    }
}
