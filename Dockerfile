# Two stages: a build, and a root file system of a handful of files. No shell, no package manager, not root.
#
#   docker build -t rota .
#   docker run --rm --network host -v rota:/var/lib/rota rota
#
# The default command listens on loopback only, so share a network namespace (the host's, or a pod's).
# Listening on the container's own address needs two explicit settings; SECURITY.md says which and why.

FROM rust:1.95-bookworm AS build
# The image's own toolchain: rust-toolchain.toml would fetch rustfmt and clippy, which a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin rota \
 && packaging/rootfs.sh target/release/rota /rootfs

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rota" \
      org.opencontainers.image.description="A loopback HTTP proxy that owns OAuth credentials and rotates accounts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs /
# Said again, because not every builder keeps the owner of what it copies between stages.
COPY --from=build --chown=65532:65532 /rootfs/var/lib/rota /var/lib/rota
# So the configuration is /etc/rota/rota.toml, the store is the volume, /var/lib/rota, and so is the admin API's socket.
ENV HOME=/var/lib/rota \
    XDG_CONFIG_HOME=/etc \
    XDG_STATE_HOME=/var/lib \
    ROTA_ADMIN_SOCKET=/var/lib/rota/admin.sock
USER 65532:65532
WORKDIR /var/lib/rota
VOLUME ["/var/lib/rota"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/usr/bin/rota", "healthcheck"]
ENTRYPOINT ["/usr/bin/rota"]
CMD ["serve"]
