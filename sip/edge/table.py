"""One of Kamailio's hash tables over RPC."""

from __future__ import annotations

from collections.abc import Iterator

from sip.edge.rpc import RpcClient, RpcError


class Table:
    """Names and values are text. Every method raises RpcError when the edge cannot be asked."""

    def __init__(self, rpc: RpcClient, name: str) -> None:
        self._rpc = rpc
        self._name = name

    async def set(self, key: str, value: str) -> None:
        await self._rpc.call("htable.sets", self._name, key, value)

    async def set_or_delete(self, key: str, value: str) -> None:
        if value:
            await self.set(key, value)
        else:
            await self.delete(key)

    async def get(self, key: str) -> str | None:
        try:
            found = await self._rpc.call("htable.get", self._name, key)
        except RpcError as error:
            if error.code == 0:
                raise
            return None
        item = found.get("item") if isinstance(found, dict) else None
        return str(item.get("value", "")) if isinstance(item, dict) else None

    async def delete(self, key: str) -> None:
        try:
            await self._rpc.call("htable.delete", self._name, key)
        except RpcError as error:
            if error.code == 0:
                raise

    async def dump(self) -> list[tuple[str, str]]:
        """Every (key, value)."""
        found = []
        for slot in dicts(await self._rpc.call("htable.dump", self._name)):
            for item in dicts(slot.get("slot")):
                found.append((str(item.get("name", "")), str(item.get("value", ""))))
        return found


def dicts(value: object) -> Iterator[dict[str, object]]:
    """The objects in a list of a JSON answer."""
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            yield item
