"""The online path measured: retrieve and trigger beside a plain version, the bare store and an empty route."""
