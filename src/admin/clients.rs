use super::ApiError;
use crate::app::App;
use crate::clients::{ClientsView, base};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// `GET /api/clients`: how programs are pointed at this rota; where it does not run, at the one that would.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<ClientsView>, ApiError> {
    let running = app.addresses().proxy.first().copied();
    let configured =
        || app.config.load().listen.first().and_then(|listen| listen.addresses().first().copied());
    let Some(address) = running.or_else(configured) else {
        return Err(ApiError::invalid("listen", "names no address"));
    };
    ClientsView::at(&base(address)).map(Json).map_err(|bad| {
        tracing::error!(%bad, "the table of clients cannot be read");
        ApiError::internal()
    })
}
