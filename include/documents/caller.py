"""Who asks, and what that one may see and do.

Rows belong to their owner. Others neither see nor touch them and cannot tell that they exist, so what a caller may not
see is answered as what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from include.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, by the name that is the owner of his rows. An admin sees and does everything.

    `admin_kinds` are those that only admins may put into rows (`MILLRACE_ADMIN_KINDS`).
    """

    name: str
    may_write: bool
    is_admin: bool
    admin_kinds: frozenset[str] = frozenset()

    @property
    def sees(self) -> str | None:
        """The owner whose rows the caller sees; None: everybody's."""
        return None if self.is_admin else self.name

    def sees_of(self, owner: str | None) -> str | None:
        """The owner whose rows a list has that is narrowed to `owner`; None: everybody's.

        Nobody's, if the caller does not see them: no owner has the name "".
        """
        if owner is None:
            return self.sees
        return owner if self.is_admin or owner == self.name else ""

    def check_writes(self) -> None:
        """`RefusedError` (403) if the caller only reads."""
        if not self.may_write:
            raise RefusedError(403, f"{self.name!r} may look, and not change anything; ask an admin for another role")

    def check_kind(self, kind: str) -> None:
        """`RefusedError` (403) if rows of the kind are written by admins only."""
        if not self.is_admin and kind in self.admin_kinds:
            raise RefusedError(403, f"kind {kind!r} is for admins: what it runs, it runs with the rights of the system")

    def check_admin(self) -> None:
        """`RefusedError` (403) unless the caller is an admin."""
        if not self.is_admin:
            raise RefusedError(403, "this is for admins")

    def owner(self, wanted: str | None, before: str | None = None) -> str:
        """Whose a row will be: the one that is `wanted`, or else as `before`, or else the caller.

        `RefusedError` (403) if the caller may not give it to that one.
        """
        owner = wanted or before or self.name
        if owner != self.name and not self.is_admin:
            raise RefusedError(403, "owner: rows of your own only; leave it out, or ask an admin")
        return owner
