"""Change tracking: what CleverPush took last, so that only changes are sent, and a true Mirror can remove who left.

Removing wrongly is worse than removing late, and forgetting is worse than sending twice: every rule follows from it.
What is stored of a member: its id, CleverPush's ids, for tags the tag, a fingerprint of what its row said, a day, a
sync id, and names (not values) of attributes. No email address, phone number or attribute value; but ids and tags are
stored, and an email address that serves as `subscription_id` is one.

| module | what lives there |
|---|---|
| `settings` | the user's wishes; light to import |
| `entries` | an entry; a member, shared by the jobs of it that are on their way |
| `passes` | pure: which pass an attempt belongs to, and whether the absent may be removed |
| `memory` | one sync's view: meet rows, note in doubt, settle, commit, let go, owed |
| `committer` | the memory as a keeper: group commit by a thread of its own |
| `place`, `local`, `remote`, `manifest` | where it lies: a directory, or a cloud store; who holds it |
| `database`, `changes` | SQLite; what one commit changes, also as bytes |
| `care` | open, probe, show, forget, export |

How it is used (`destination_cleverpush.tracked`):

1. Start: `place = open_place(settings, channel)`, `memory = Memory(place, today, sync_id)`; tell `memory.lost`; for
   each stream of the catalog `open_stream(...)`, and tell what it returns; tell `left_out()`.
2. Reader, a batch of rows: `meet(stream, [(id, tags)])`. Rows that will be rejected are met too (tags None), and tell
   `member.refused()`; a row without a usable id is `count(stream, without_id=1)`, a line that was passed over
   `count(stream, lines_lost=1)` for each stream. A row may call if `member.expected or not member.is_unchanged(...)`
   (marked: `not member.is_removed()`), or if a row of the member before it in the batch may; all that may are told to
   `note_in_doubt` in one call before their jobs go to delivery (those that are to remove in another, with
   `removing=True`). For marked rows ask `held_elsewhere` first: who is held is `owe()`d, without a call, in the row's
   turn, and noted in doubt as well.
3. Its turn in the lane, in the script: decide again by the same methods; where a call is due `before =
   member.begin(tags)`, then after the answers `took`, `removed`, `forget` or, refused for good, `restore(before)`. A
   call without an answer, or a tag row refused in part, ends with nothing told: it stays in doubt. Judge each new
   removal of a member by `exceeds_share(stream, 1, memory.reading(stream), ratio)` first, then
   `count(stream, removed=1)`.
4. Settlement: `Committer.keep(jobs, members)` for every job of these streams; its `on_kept` is `Settlement.kept`.
5. End of the input, all settled, nothing failed: `decide([Facts(...)])` for all streams; tell warnings; a failure ends
   the sync before the first removal. For those that may: `let_go(stream)`, then `owed(those)`: make the calls through
   the lanes, and tell `gone(...)` those that are done or were not there (also those with only `shared` ids). What
   cannot be told stays owed. Then `end_pass(stream)` for each decision with `ended`.
6. Always `memory.close()`.
"""
