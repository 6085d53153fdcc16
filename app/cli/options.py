"""Options that most commands have."""

from faust.cli import option

json_option = option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
url_option = option(
    "--url", default=None, help="Base URL of a worker; by default the one that the settings name."
)
token_option = option(
    "--token", default=None, envvar="TIFFIN_OPERATOR_TOKEN", help="An operator's token."
)
