"""``beffroi serve``: the daemon. Here, and only here, the rooms are wired together.

Order of starting: data directory locked, database migrated, what a crash left is judged, then everything at once in one
TaskGroup. Order of stopping: no new calls, running calls end with a reason, recordings are sealed, then the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from config.addresses import Endpoint
from config.problems import ConfigError
from config.settings import Change, Settings
from recording import hold_music
from recording.prompts import PromptStore
from server import campaign_desk, control_socket, http, ordered, text_carriers
from server.alerting.desk import AlertDesk
from server.alerting.senses import Parts, Senses
from server.call_book import DatabaseCallBook
from server.company import company_facts, outside_habits, rates_of
from server.destruction import RecordingDestruction
from server.diagnoses import DatabaseKeeper
from server.duty_desk import DutyDesk
from server.edge_plan import edge_plan, edge_run_dir
from server.failure import Failure
from server.going_out import GoingOut
from server.happenings.hub import Hub
from server.happenings.watch import Watch
from server.mail_bounces import MailBounces
from server.mail_desk import MailDesk
from server.messaging import Messaging
from server.own_prompts import OwnPrompts
from server.policy_desk import PolicyDesk
from server.reconciler import Reconciler
from server.recording_desk import DeskKeys, RecordingDesk
from server.reindexer import Reindexer
from server.services import erasure, system
from server.services.actor import SYSTEM, Actor
from server.services.context import Services, open_services
from server.spoken import Spoken
from server.sweeper import Sweeper
from server.text_desk import TextsDesk
from server.text_notices import MailNotices
from server.text_phones import Absent, Copies, Outside
from server.trunks_desk import TrunkView
from server.webhooks import teller as webhooks
from sip.calls.control import CallControl
from sip.calls.observatory import Observatory
from sip.calls.planning import DirectoryPlanner, Timing
from sip.edge.control import EdgeControl
from sip.edge.protocol import Answer, Banned, EdgeEvent, EdgeRequest, EmergencyRelayed, RegistrationChanged
from sip.edge.rpc import RpcError
from sip.edge.state import Device
from sip.messages.arrivals import Arrivals
from sip.worker.pool import PoolConfig, WorkerPool
from sms.carriers.carrier import Health
from sms.standing import Standing
from storage import devices, sessions, trunks
from storage.errors import StorageError
from storage.trunks import Trunk

log = logging.getLogger(__name__)

SWITCH_S = 0.0005  # how long a thread that simulates or verifies keeps the event loop, which has calls, from running

DRAIN_S = 5.0
OPT_OUTS_S = 60.0  # between two looks at how many say STOP
PORTAL_WAIT_S = 5.0  # for the edge, before pages are served without it
NOTICES_S = 10.0  # between two tries to hand notices to the mail relay
EMERGENCY_DRAIN_S = 600.0  # an emergency call is not ended for a restart, unless we are told to stop once more
FLUSH_S = 2.0  # for what is kept of how the last calls went
RECOVERY_S = 3.0  # for what a crash left, before phones are served
LOOK_S = 30.0  # between two looks at what the edge knows
RESTART_S = 0.5  # before a part that failed is begun again; twice as long each time
RESTART_MAX_S = 60.0


class _Stop(Exception):
    """Ends the daemon's TaskGroup."""


class Daemon:
    """All running parts. Fills ``server.services.context.Live``."""

    def __init__(self, services: Services, trunks: Sequence[Trunk] = ()) -> None:
        """`trunks`: as they are now; carriers of texts are made for some of them. Raises Failure for a carrier."""
        settings, paths = services.settings, services.paths
        self._services = services
        self._settings = settings
        self._bans = 0
        plan = edge_plan(settings, paths)
        self.edge = EdgeControl(
            control_port=plan.control_port,
            control_secret=plan.control_secret,
            rpc_socket=plan.rpc_socket,
            on_request=self._on_request,
            on_event=self._on_event,
            on_attach=self._on_attach,
            public_address=settings.media.public_address,
            local_networks=settings.media.local_networks,
        )
        self.pool = WorkerPool(
            _pool_config(settings, paths.run), on_ready=self._on_worker, on_gone=self._on_worker_gone
        )
        self.destruction = RecordingDestruction(services.db, paths.vault, services.keys.ledger)
        self.desk = RecordingDesk(
            services.db,
            paths.vault,
            DeskKeys(proof=services.keys.proof, kek=services.keys.ledger),
            bitrate_bps=settings.recording.bitrate_bps,
            min_free_mb=settings.recording.min_free_mb,
            on_cut=self._on_cut,
            destroy=self.destruction.on_objection,
            is_held=self.destruction.is_held,
        )
        self.own_prompts = OwnPrompts(services.db, services.keys.ledger.public_key(), self._on_prompts_changed)
        services.prompts = PromptStore(paths.prompts, own=self.own_prompts)
        self.prompts = Spoken(services.prompts, paths.custom_prompts, self.own_prompts)
        self.policies = PolicyDesk(
            services.db, services.keys.ledger.public_key(), services.clock, self._on_policy_changed
        )
        self.duty = DutyDesk(
            services.db, self.edge, self.prompts, lambda: self._settings, services.clock, self._obliged
        )
        self.planner = DirectoryPlanner(
            services.db,
            self.edge,
            self.prompts,
            company_facts(settings),
            _timing(settings),
            habits=outside_habits(settings, rates_of(paths.rates)),
            house=self.duty,
            policies=self.policies,
        )
        self.texts = TextsDesk(services.db, self.edge, lambda: self._settings, Outside(services), Absent(services))
        self.notices = MailNotices(services)
        self.messaging = Messaging(
            services,
            lambda receiver: text_carriers.build(services, receiver, self.edge, trunks, self._trunk_views),
            Standing(lambda: self._settings.sms.hours_profile),
            phones=Copies(self.texts.delivery),
            notices=self.notices,
        )
        self._opt_outs: list[str] = []  # campaigns that many have answered STOP
        self.campaigns = campaign_desk.runner(
            services,
            self.messaging.writer,
            sent=self.messaging.outbox.wake,
            ended=lambda campaign_id, why: log.info("campaign %s has ended: %s", campaign_id, why),
            alarmed=self._opt_outs_many,
        )
        self.arrivals = Arrivals(services.db, self.edge, self._registered)
        self.mail = MailDesk(services)
        self.bounces = MailBounces(services)
        self.keeper = DatabaseKeeper(services.db, settings.calls.diagnosis_days)
        self.observatory = Observatory(self.keeper)
        self.sweeper = Sweeper(services)
        self.reconciler = Reconciler(services)
        self.reindexer = Reindexer(services)
        self.going_out = GoingOut(services, edge_run_dir(paths))
        self.calls = CallControl(
            edge=self.edge,
            pool=self.pool,
            planner=self.duty.before(self.planner),
            recordings=self.desk,
            book=DatabaseCallBook(services.db),
            max_concurrent=settings.calls.max_concurrent,
            max_per_account=settings.calls.max_per_account,
            observatory=self.observatory,
            is_emergency=self.duty.planner.is_emergency,
            max_channels=self.duty.trunks.max_channels,
            duty=self.duty,
            pause_max_s=settings.recording.pause_max_s,
        )
        self.duty.attend(self.calls)
        self.happenings = Hub()
        self.watch = Watch(self.happenings, services.db, self.calls.live, services.clock)
        self.webhooks = webhooks.Teller(services, self.happenings)
        self.messaging.outbox.changed = self.watch.texts_changed
        self.messaging.heard = self.watch.arrived
        self.senses = Senses(services, self._parts())
        self.alerts = AlertDesk(services, self.senses.sense)
        self.hurry = asyncio.Event()  # asked to stop once more: emergency calls are waited for no longer
        self._group: asyncio.TaskGroup | None = None
        self._prompts_stale = asyncio.Event()
        self._frozen = False  # what was loaded is looked through for garbage no more
        self._gone_workers: asyncio.Queue[int] = asyncio.Queue()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, then end in order."""
        endpoint = Endpoint.parse(self._services.settings.http.listen)
        pages = await http.start(
            http.application(self.health, self.counters, self.gauges, self.labelled), str(endpoint.host), endpoint.port
        )
        try:
            await self._run_parts(stop)
        finally:
            await pages.cleanup()

    async def _run_parts(self, stop: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                with contextlib.suppress(StorageError):  # read again in a moment; until then shipped texts are said
                    await self.own_prompts.refresh()
                group.create_task(self.calls.run(), name="calls")
                # Done at once, as a rule; a recorder that still finishes what a crash left holds up no phone.
                recovery = group.create_task(self._kept("recovery", self._recover, once=True), name="recovery")
                await asyncio.wait({recovery}, timeout=RECOVERY_S)
                group.create_task(self._kept("recorder", self.desk.run), name="recorder")
                group.create_task(self._kept("edge", self.edge.run), name="edge")
                group.create_task(self.pool.run(), name="workers")
                group.create_task(self._kept("prompts", self._keep_prompts), name="prompts")
                group.create_task(self._kept("music", self._make_music, once=True), name="music")
                group.create_task(self._kept("gone workers", self._forget_workers), name="gone workers")
                group.create_task(self._kept("comparing", self._compare), name="comparing")
                group.create_task(self._kept("observatory", self.observatory.run), name="observatory")
                group.create_task(self._kept("sweep", self.sweeper.run), name="sweep")
                group.create_task(self._kept("orphans", self.reconciler.run), name="orphans")
                group.create_task(self._kept("policy", self.policies.run), name="policy")
                group.create_task(self._kept("own prompts", self.own_prompts.run), name="own prompts")
                group.create_task(self._kept("index", self.reindexer.run), name="index")
                group.create_task(self._kept("rooms", self._keep_rooms), name="rooms")
                for name, part in {**self._attending(), **self.alerts.parts(), **self.senses.tasks()}.items():
                    group.create_task(self._kept(name, part), name=name)
                await stop.wait()
                log.info("stopping")
                draining = group.create_task(self.calls.drain(DRAIN_S, EMERGENCY_DRAIN_S), name="draining")
                hurried = group.create_task(self.hurry.wait(), name="hurry")
                await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
                await self.duty.close()
                await self.observatory.flush(FLUSH_S)
                raise _Stop
        except* _Stop:
            log.info("stopped")

    async def _keep_rooms(self) -> None:
        async def lives(person_id: str, session_id: str) -> bool:
            async with self._services.db.read() as tx:
                return await sessions.lives(tx, person_id, session_id, self._services.clock())

        await self._services.reader_rooms.run(self._services.clock, lives)

    def _attending(self) -> dict[str, Callable[[], Awaitable[None]]]:
        mail = {"mail": self.mail.run} if self._services.settings.mail.listen else {}
        looking = {"happenings": self.watch.run, **self.webhooks.parts()}
        portal = {"portal": self._portal} if self._services.settings.web.listen else {}
        texts = {**self.texts.parts(), **self.messaging.parts(), "arrivals": self.arrivals.run}
        texts |= {"campaigns": self.campaigns.run, "opt-outs": self._look_at_opt_outs}
        return {
            **self.duty.parts(),
            **texts,
            **mail,
            **portal,
            **looking,
            "notices": self._notices,
            "going out": self.going_out.run,
            "figures": partial(self._services.access_figures.run, self._services),
            "bounces": self.bounces.run,
        }

    async def _portal(self) -> None:
        """Loaded once phones are served, and beside them: nobody waits for a page before there is a switchboard."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PORTAL_WAIT_S):
                await self.edge.attached.wait()
        run = await asyncio.to_thread(_load_portal)
        if not self._frozen:
            # All that is loaded stays: looking through it for garbage takes 0.1 s, in which no call would be served.
            # Once only: what a portal leaves that is begun again is garbage. What has just become so is looked for.
            self._frozen = True
            gc.collect(1)
            gc.freeze()
        await run(self._services)

    def _opt_outs_many(self, campaign_id: str) -> None:
        self._opt_outs.append(campaign_id)

    async def _look_at_opt_outs(self) -> None:
        while True:
            await asyncio.sleep(OPT_OUTS_S)
            await self.campaigns.look()

    async def _notices(self) -> None:
        while True:
            await asyncio.sleep(NOTICES_S)
            await self.notices.flush()

    def _trunk_views(self) -> Mapping[str, TrunkView]:
        return self.duty.trunks.views()

    async def _recover(self) -> None:
        """What a crash left: recordings to be judged, erasures to be finished."""
        await self.desk.recover()
        await self.messaging.recover()
        async with self._services.erasing:
            await erasure.resume(self._services)
            await ordered.resume(self._services)

    async def _kept(self, name: str, part: Callable[[], Awaitable[None]], *, once: bool = False) -> None:
        """The boundary of one part: what goes wrong in it does not end the calls that go on in the others."""
        loop, pause_s = asyncio.get_running_loop(), RESTART_S
        while True:
            began_s = loop.time()
            try:
                await part()
            except Exception:  # whatever it was; it is begun again
                log.exception("%s failed", name)
            else:
                if once:
                    return
            pause_s = RESTART_S if loop.time() - began_s > RESTART_MAX_S else min(2 * pause_s, RESTART_MAX_S)
            await asyncio.sleep(pause_s)

    async def _make_music(self) -> None:
        """Until it is made whoever is on hold hears nothing. Raises OSError."""
        self.planner.music = await asyncio.to_thread(hold_music.ensure, self._services.paths.prompts)

    async def _keep_prompts(self) -> None:
        """Have prompts made before somebody waits for them: at the start, and when lines or the company change."""
        while True:
            self._prompts_stale.clear()
            await self.planner.warm_up(self._services.clock())
            await self._prompts_stale.wait()

    def request_reload(self) -> None:
        """SIGHUP: as ``beffroi reload``."""
        if self._group is not None:
            self._group.create_task(self._reload(), name="reload")

    async def _reload(self) -> None:
        try:
            reloaded = await system.reload(self._services, Actor(SYSTEM, "signal"))
        except (ConfigError, Failure, StorageError) as error:
            log.error("the configuration is not used, the old one stays: %s", error)
        except Exception:  # the boundary of a reload
            log.exception("the configuration is not used, the old one stays")
        else:
            waiting = ", ".join(reloaded.need_restart)
            log.info("configuration read again%s", f"; for the next start: {waiting}" if waiting else "")

    # --- the edge ---------------------------------------------------------------------------------

    async def _on_request(self, request: EdgeRequest) -> Answer:
        if request.kind == "message":
            return await self.texts.on_request(request)
        return await self.calls.on_request(request)

    def _on_event(self, event: EdgeEvent) -> None:
        if isinstance(event, Banned):
            self._bans += 1
            log.warning("a source was banned: %s (see: beffroi ban list)", event.why)
        elif isinstance(event, EmergencyRelayed):
            self.duty.relayed.look_soon()
        elif isinstance(event, RegistrationChanged):
            self.arrivals.changed(event.auth_user)

    async def _registered(self, account_id: str) -> None:
        self.messaging.registered(account_id)

    async def _on_attach(self) -> None:
        """The edge may be new (it knows nobody) or old (it holds dialogs of workers that died with the last daemon).

        Raises RpcError: then the edge is left and attached to again.
        """
        await self.duty.attach(self.edge)  # first: a call for help waits for no directory
        try:
            async with self._services.db.read() as tx:
                credentials = await devices.credentials(tx)
        except StorageError as error:
            raise RpcError("attach", 0, f"the directory cannot be read: {error}") from error
        await self.edge.replace_devices(
            Device(c.auth_user, c.account, c.ha1, only_emergency=c.only_emergency, account_id=c.account_id)
            for c in credentials
        )
        await self.edge.replace_workers(self.pool.ports)
        up = self.calls.legs_up()  # before: one that comes up meanwhile is not missed by the edge
        dialogs = await self.edge.dialogs()
        ours = self.calls.worker_ports()  # after: one that is taken meanwhile is ours
        known = {dialog.call_id for dialog in dialogs}
        for call_id in {up[sip_call_id] for sip_call_id in up.keys() - known}:
            log.warning("call %s is ended: the edge that carried it is gone, and no BYE could reach us", call_id)
            self.calls.hang_up(call_id, 503, "The edge was restarted")
        for dialog in dialogs:
            if dialog.worker_port not in ours:
                log.info("a dialog without a worker is ended at the edge")
                await self.edge.clear(dialog)
        self.arrivals.look_at_all()

    async def _compare(self) -> None:
        """End calls of which the edge has known nothing at two looks in a row: their phones have hung up long ago, and
        a worker that hangs has not noticed."""
        lost: set[str] = set()
        while True:
            await asyncio.sleep(LOOK_S)
            up = self.calls.legs_up()
            try:
                known = {dialog.call_id for dialog in await self.edge.dialogs()} if up else set()
            except RpcError:
                lost = set()
                continue
            missing = {up[sip_call_id] for sip_call_id in up.keys() - known}
            for call_id in missing & lost:
                log.error("call %s is ended: the edge has not known it for %.0f s", call_id, LOOK_S)
                self.calls.hang_up(call_id, 503, "The call was lost")
            lost = missing - lost

    async def _on_worker(self, port: int) -> None:
        with contextlib.suppress(RpcError):  # an edge that is away is told all ports when it is back
            await self.edge.allow_worker(port)

    def _on_worker_gone(self, port: int) -> None:
        """Told from the middle of the pool's own work, also while the daemon ends: nothing here may fail or wait."""
        self._gone_workers.put_nowait(port)

    async def _forget_workers(self) -> None:
        while True:
            port = await self._gone_workers.get()
            if port in self.pool.ports:
                continue  # the kernel has given it to another worker already
            with contextlib.suppress(RpcError):
                await self.edge.forget_worker(port)

    def _on_policy_changed(self) -> None:
        self.duty.memory.changed()
        self._prompts_stale.set()

    def _on_prompts_changed(self) -> None:
        self._prompts_stale.set()

    async def _obliged(self, pack: str, accounts: Collection[str]) -> frozenset[str] | None:
        return await self.policies.obliged(pack, accounts, self._services.clock())

    def _on_cut(self, rec_id: str | None, why: str) -> None:
        self.calls.on_recorder_event(rec_id, why)

    # --- for services (server.services.context.Live) ----------------------------------------------

    async def status(self) -> Mapping[str, object]:
        """What goes on, without a number or a name."""
        return {
            "health": await self.health(),
            "calls": [
                {
                    "call_id": call.call_id,
                    "line_id": call.line_id,
                    "began_at": call.began_at,
                    "recording": call.recording,
                    "worker_pid": call.worker_pid,
                }
                for call in self.calls.live()
            ],
            "processes": {
                "zygote": self.pool.zygote_pid,
                "recorder": self.desk.recorder_pid,
                "workers": self.pool.worker_pids(),
            },
            "capacity": min(self.calls.max_concurrent, self.pool.capacity),
            **self.duty.status(),
            "texts": await self.messaging.status(),
            **self.counters(),
        }

    async def apply(self, settings: Settings, changes: Iterable[Change]) -> None:
        """Use new settings without dropping a call; keys that need a restart are left as they are."""
        self._settings = settings
        self.planner.company = company_facts(settings)
        self.planner.timing = _timing(settings)
        self.planner.habits = outside_habits(settings, rates_of(self._services.paths.rates))
        await self.duty.applied()
        self.calls.max_concurrent = settings.calls.max_concurrent
        self.calls.max_per_account = settings.calls.max_per_account
        self.calls.pause_max_s = settings.recording.pause_max_s
        self.keeper.days = settings.calls.diagnosis_days
        self.pool.resize(settings.calls.warm_workers)
        recording = settings.recording
        await self.desk.apply(bitrate_bps=recording.bitrate_bps, min_free_mb=recording.min_free_mb)
        logging.getLogger().setLevel(settings.log.level.upper())
        self._prompts_stale.set()

    async def lines_changed(self) -> None:
        """New lines may need prompts that nobody has heard yet, and are what a policy speaks of."""
        try:
            await self.policies.refresh()
        except StorageError:
            self.policies.changed()  # what was known stays until it can be read
        self.duty.memory.changed()
        self._prompts_stale.set()

    async def prompts_changed(self) -> None:
        """The next call hears what is said now."""
        try:
            await self.own_prompts.refresh()
        except StorageError:
            self.own_prompts.changed()

    async def readers_changed(self) -> None:
        """Of recordings nothing to do: the set of readers is compared with the week's key at each of them."""
        self.messaging.changed()

    async def trunks_changed(self) -> None:
        """The edge is told at once; one that is away when it is back."""
        await self.duty.trunks_changed(self.edge)

    async def settings_changed(self) -> None:
        """Calls that begin are decided anew anyway; those that go on may have got another ceiling."""
        self.duty.settings_changed()

    async def end_device(self, auth_user: str) -> None:
        """Call control knows which of its legs a device has answered or dialled."""
        self.calls.end_device(auth_user)

    async def health(self) -> dict[str, bool]:
        """The parts and whether each works."""
        return {
            "edge": self.edge.attached.is_set(),
            "workers": bool(self.pool.worker_pids()),
            "recorder": self.desk.recorder_pid != 0,
        }

    def counters(self) -> dict[str, float]:
        """Since the start of the daemon."""
        return {
            **{f"calls_{name}": float(count) for name, count in self.calls.counters.items()},
            **{f"calls_{name}": float(count) for name, count in self.observatory.counters.items()},
            "workers_crashed": float(self.pool.crashes),
            "worker_cpu_ms": float(self.pool.cpu_ms),
            "recorder_restarts": float(self.desk.restarts),
            "prompts_failed": float(self.prompts.failures),
            "bans": float(self._bans),
            **self.sweeper.counters(),
            **self.alerts.counters(),
            **self.duty.counters(),
            **self.texts.counters(),
            **self.messaging.counters(),
            **self.mail.counters(),
            **self.webhooks.counters(),
        }

    def gauges(self) -> dict[str, float]:
        """Now."""
        return {
            "calls_live": float(len(self.calls.live())),
            "workers": float(len(self.pool.worker_pids())),
            "edge_attached": float(self.edge.attached.is_set()),
            "recorder_running": float(self.desk.recorder_pid != 0),
            **self.sweeper.gauges(),
            **self.reconciler.gauges(),
            **self.policies.gauges(),
            **self.duty.gauges(),
        }

    def labelled(self) -> http.Labelled:
        """Now, by a label."""
        return {"alerts_open": ("severity", self.alerts.open_by_severity())}

    def _parts(self) -> Parts:
        """What alerts are told of."""
        return Parts(
            edge=self.edge.attached.is_set,
            recorder=lambda: self.desk.recorder_pid != 0,
            trunks=lambda: {trunk_id: view.up for trunk_id, view in self.duty.trunks.views().items()},
            sweep=self.sweeper.trouble,
            orphans=self.reconciler.count,
            counts=lambda: {
                "bans": self._bans,
                "worker_deaths": self.pool.crashes,
                "texts_unknown": self.messaging.outbox.counted["unknown"],
                "forged": self.mail.forgeries,
                **self.duty.troubles(),
            },
            near=self.duty.near,
            carriers=lambda: {name: one is Health.UP for name, one in self.messaging.outbox.states().items()},
            webhooks=self.webhooks.well,
            unexpected=self.going_out.unexpected,
            opt_outs=self._take_opt_outs,
        )

    def _take_opt_outs(self) -> tuple[str, ...]:
        told, self._opt_outs = tuple(dict.fromkeys(self._opt_outs)), []
        return told


async def serve(data: Path) -> None:
    """The life of the daemon. Raises Failure, ConfigError, StorageError."""
    sys.setswitchinterval(SWITCH_S)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_services(data) as services:
        async with services.db.read() as tx:
            known = await trunks.list_all(tx)
        daemon = Daemon(services, known)

        def end() -> None:
            if stop.is_set():
                daemon.hurry.set()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        services.edge = daemon.edge
        services.live = daemon
        services.calls, services.duty = daemon.calls, daemon.duty
        services.observatory, services.sweeper = daemon.observatory, daemon.sweeper
        services.reconciler = daemon.reconciler
        services.alerts = daemon.alerts
        services.texts = daemon.messaging
        services.campaigns = daemon.campaigns
        services.happenings = daemon.happenings
        services.reindexer = daemon.reindexer
        services.going_out = daemon.going_out
        loop.add_signal_handler(signal.SIGHUP, daemon.request_reload)
        async with control_socket.serve(services):
            await daemon.run(stop)


def _pool_config(settings: Settings, run_dir: Path) -> PoolConfig:
    return PoolConfig(
        warm=settings.calls.warm_workers,
        domain=settings.sip.domain,
        edge_port=settings.sip.worker_port,
        media_address=settings.media.address,
        rtp_port_first=settings.media.rtp_port_first,
        rtp_port_last=settings.media.rtp_port_last,
        run_dir=run_dir,
        media_address6=settings.media.address6,
        reserve=settings.calls.emergency_reserve,
    )


def _load_portal() -> Callable[[Services], Awaitable[None]]:
    """Every page too: in a thread, because it takes some tenths of a second."""
    from server.web import listener, site

    site.load()
    return listener.run


def _timing(settings: Settings) -> Timing:
    return Timing(settings.calls.ring_timeout_s, settings.calls.max_duration_s)
