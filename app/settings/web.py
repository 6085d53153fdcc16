"""Settings of the web server: addresses, limits of clients, how long requests wait."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field
from pydantic_settings import NoDecode

from app.settings.field_types import (
    COMMA_SEPARATED,
    Port,
    Seconds,
    Url,
)

PerMinute = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class WebSettings(BaseModel):
    """What customers, staff and the other workers reach, and what is asked of them."""

    web_host: str = Field(default="127.0.0.1", description="Address that the web server binds to")
    web_port: Port = Field(default=6066, description="Port that the web server binds to")
    bind: str | None = Field(
        default=None,
        description="Address of the host at which a container's port is published; none: no container",
    )
    web_url: Url | None = Field(
        default=None, description="Base URL under which the other workers reach this one"
    )
    public_url: Url | None = Field(
        default=None,
        description="Base URL for customers, which links in mails begin with; none: pages take that of a "
        "request to this worker or to localhost, mails this worker's own",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, COMMA_SEPARATED] = Field(
        default=(),
        description="Origins of pages besides our own that may post with a cookie, by commas",
    )
    body_limit_bytes: int = Field(
        default=65_536, ge=1024, le=1_048_576, description="Largest body of a request"
    )
    client_creates_per_min: PerMinute = Field(
        default=60.0, description="Payments that one address may open a minute; 0: no limit"
    )
    client_writes_per_min: PerMinute = Field(
        default=300.0, description="Other POSTs of one address a minute; 0: no limit"
    )
    client_reads_per_min: PerMinute = Field(
        default=3000.0, description="GETs of one address a minute; 0: no limit"
    )
    client_requests_at_once: int = Field(
        default=300, ge=0, description="Open requests of one address, streams too; 0: no limit"
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=9,
        description="Our own proxies before the workers, whose X-Forwarded-For names the client",
    )
    command_wait_s: Seconds = Field(
        default=10.0, description="How long a POST waits for its outcome before it answers 202"
    )
    confirm_wait_s: Seconds = Field(
        default=25.0, description="How long a confirm waits for its result before it answers 202"
    )
    consistency_wait_s: Seconds = Field(
        default=5.0, description="How long a read waits until it holds the write it names"
    )
    catalogue_dir: Path | None = Field(
        default=None, description="Folder of restaurants and menus; none: those of this repository"
    )

    @property
    def is_local(self) -> bool:
        """Whether no other machine reaches this worker, as far as its settings tell."""
        host = self.bind or self.web_host
        try:
            return host == "localhost" or ip_address(host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def canonical_url(self) -> str:
        """Base URL that the other workers use for this one, without a slash at its end."""
        host = f"[{self.web_host}]" if ":" in self.web_host else self.web_host
        return (self.web_url or f"http://{host}:{self.web_port}").rstrip("/")
