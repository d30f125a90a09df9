/* The automaton that judges every event of every test must itself notice each wrong sequence. */
#include "automaton.h"
#include "fixture.h"

#include <limits.h>

static struct Automaton automaton;
static struct AutomatonView view;

static void openAutomaton(int type)
{
    automatonOpen(&automaton, type);
    memset(&view, 0, sizeof(view));
    view.context = AUTOMATON_WAIT;
    view.thread = true;
    view.turn = 1;
}

/* Feeds one event; a POLLIN comes with new data, a POLLERR with its errno kept by the socket. */
static const char* feed(int event, int parameter)
{
    view.event = event;
    view.parameter = parameter;
    if (event == POLLIN) {
        view.inbound = (size_t)parameter;
        view.received++;
    }
    if ((event == POLLERR) && (automaton.type != SOCK_DGRAM))
        view.error = parameter;
    return automatonEvent(&automaton, &view);
}

static void good(int event, int parameter)
{
    const char* rule = feed(event, parameter);

    ck_assert_msg(rule == NULL, "%s", rule);
}

static void bad(int event, int parameter)
{
    ck_assert_ptr_nonnull(feed(event, parameter));
}

START_TEST(acceptsWholeLife)
{
    openAutomaton(SOCK_STREAM);
    good(POLLOUT, 0);
    view.turn++;
    good(POLLIN, 10);
    good(POLLOUT, 0);
    view.turn++;
    good(POLLIN, 20);
    good(POLLERR, ECONNRESET);
    good(POLLHUP, ECONNRESET);
    ck_assert_ptr_null(automatonTurnEnd(&automaton));
    ck_assert_ptr_null(automatonRingEnd(&automaton));
}
END_TEST

START_TEST(acceptsHalfClose)
{
    openAutomaton(SOCK_STREAM);
    good(POLLIN, 10);
    good(POLLHUP, 0);
    view.turn++;
    good(POLLOUT, 0);
    view.turn++;
    good(POLLERR, EPIPE);
    ck_assert_ptr_null(automatonTurnEnd(&automaton));
    view.turn++;
    bad(POLLHUP, EPIPE);
}
END_TEST

START_TEST(refusesSeveralBits)
{
    openAutomaton(SOCK_STREAM);
    bad(POLLIN | POLLOUT, 1);
    bad(0, 0);
    bad(POLLRDHUP, 0);
}
END_TEST

START_TEST(refusesOtherPlaces)
{
    const enum AutomatonContext places[] = {AUTOMATON_OUTSIDE, AUTOMATON_CALL, AUTOMATON_HANDLER,
                                            AUTOMATON_END};

    for (size_t index = 0; index < sizeof(places) / sizeof(places[0]); index++) {
        openAutomaton(SOCK_STREAM);
        view.context = places[index];
        bad(POLLOUT, 0);
        view.turn++;
        bad(POLLIN, 1);
    }
    openAutomaton(SOCK_STREAM);
    view.thread = false;
    bad(POLLIN, 1);
}
END_TEST

START_TEST(refusesAfterRelease)
{
    openAutomaton(SOCK_STREAM);
    good(POLLIN, 1);
    automatonRelease(&automaton);
    view.turn++;
    bad(POLLHUP, 0);
}
END_TEST

START_TEST(refusesTwiceInTurn)
{
    openAutomaton(SOCK_STREAM);
    good(POLLIN, 1);
    bad(POLLIN, 2);
    openAutomaton(SOCK_STREAM);
    good(POLLOUT, 0);
    bad(POLLOUT, 0);
}
END_TEST

START_TEST(refusesWrongOrder)
{
    openAutomaton(SOCK_STREAM);
    good(POLLOUT, 0);
    bad(POLLIN, 1);
    openAutomaton(SOCK_DGRAM);
    good(POLLERR, ECONNREFUSED);
    bad(POLLOUT, 0);
    openAutomaton(SOCK_STREAM);
    good(POLLHUP, 0);
    bad(POLLERR, EPIPE);
}
END_TEST

START_TEST(checksInputParameter)
{
    openAutomaton(SOCK_STREAM);
    bad(POLLIN, 0);
    openAutomaton(SOCK_DGRAM);
    good(POLLIN, 0);
    openAutomaton(SOCK_STREAM);
    bad(POLLIN, -1);

    openAutomaton(SOCK_STREAM);
    view.event = POLLIN;
    view.received = 1;
    view.inbound = 5;
    view.parameter = 4;
    ck_assert_ptr_nonnull(automatonEvent(&automaton, &view));

    openAutomaton(SOCK_STREAM);
    view.event = POLLIN;
    view.received = 1;
    view.inbound = (size_t)INT_MAX + 10;
    view.parameter = INT_MAX;
    ck_assert_ptr_null(automatonEvent(&automaton, &view));
}
END_TEST

START_TEST(refusesRepeatWithoutData)
{
    openAutomaton(SOCK_STREAM);
    good(POLLIN, 5);
    view.turn++;
    ck_assert_ptr_nonnull(automatonEvent(&automaton, &view));

    openAutomaton(SOCK_STREAM);
    good(POLLIN, 5);
    view.turn++;
    automatonPause(&automaton);
    automatonResume(&automaton);
    ck_assert_ptr_null(automatonEvent(&automaton, &view));
}
END_TEST

START_TEST(refusesInputWhilePaused)
{
    openAutomaton(SOCK_STREAM);
    automatonPause(&automaton);
    bad(POLLIN, 5);
    view.turn++;
    bad(POLLHUP, 0);
    view.turn++;
    good(POLLERR, EPIPE);
    good(POLLHUP, EPIPE);
}
END_TEST

START_TEST(refusesInputAfterEnd)
{
    openAutomaton(SOCK_STREAM);
    good(POLLHUP, 0);
    view.turn++;
    bad(POLLIN, 5);
}
END_TEST

START_TEST(checksOutput)
{
    openAutomaton(SOCK_STREAM);
    bad(POLLOUT, 1);
    openAutomaton(SOCK_STREAM);
    view.outbound = 1;
    bad(POLLOUT, 0);
    openAutomaton(SOCK_STREAM);
    good(POLLHUP, 0);
    view.turn++;
    good(POLLERR, EPIPE);
    view.turn++;
    bad(POLLOUT, 0);
}
END_TEST

START_TEST(checksFatalError)
{
    openAutomaton(SOCK_STREAM);
    bad(POLLERR, 0);
    openAutomaton(SOCK_SEQPACKET);
    bad(POLLERR, -EPIPE);
    openAutomaton(SOCK_STREAM);
    view.error = EPIPE;
    view.event = POLLERR;
    view.parameter = ECONNRESET;
    ck_assert_ptr_nonnull(automatonEvent(&automaton, &view));

    openAutomaton(SOCK_STREAM);
    good(POLLHUP, 0);
    view.turn++;
    good(POLLERR, EPIPE);
    view.turn++;
    bad(POLLERR, EPIPE);
}
END_TEST

START_TEST(demandsHangupAfterFatalError)
{
    openAutomaton(SOCK_STREAM);
    good(POLLERR, EPIPE);
    ck_assert_ptr_nonnull(automatonTurnEnd(&automaton));
    bad(POLLHUP, ECONNRESET);

    openAutomaton(SOCK_STREAM);
    good(POLLERR, EPIPE);
    view.turn++;
    bad(POLLOUT, 0);

    openAutomaton(SOCK_STREAM);
    good(POLLERR, EPIPE);
    automatonRelease(&automaton);
    ck_assert_ptr_null(automatonTurnEnd(&automaton));
}
END_TEST

START_TEST(datagramErrorsAreNotFatal)
{
    openAutomaton(SOCK_DGRAM);
    good(POLLERR, ECONNREFUSED);
    good(POLLERR, EMSGSIZE);
    bad(POLLERR, ECONNREFUSED);
    ck_assert_ptr_null(automatonTurnEnd(&automaton));
    view.turn++;
    good(POLLIN, 3);
    good(POLLERR, ECONNREFUSED);
    view.turn++;
    view.error = ECONNREFUSED;
    bad(POLLERR, ECONNREFUSED);
}
END_TEST

START_TEST(checksHangup)
{
    openAutomaton(SOCK_STREAM);
    good(POLLHUP, 0);
    view.turn++;
    bad(POLLHUP, 0);
    openAutomaton(SOCK_STREAM);
    bad(POLLHUP, EPIPE);
    openAutomaton(SOCK_STREAM);
    bad(POLLHUP, ECANCELED);
    openAutomaton(SOCK_STREAM);
    view.ending = true;
    good(POLLHUP, ECANCELED);
    openAutomaton(SOCK_STREAM);
    view.context = AUTOMATON_END;
    good(POLLHUP, ECANCELED);
    view.turn++;
    bad(POLLOUT, 0);
}
END_TEST

START_TEST(demandsHangupAtRingEnd)
{
    openAutomaton(SOCK_STREAM);
    ck_assert_ptr_nonnull(automatonRingEnd(&automaton));
    good(POLLHUP, 0);
    ck_assert_ptr_null(automatonRingEnd(&automaton));
    openAutomaton(SOCK_STREAM);
    automatonRelease(&automaton);
    ck_assert_ptr_null(automatonRingEnd(&automaton));
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("automaton");
    TCase* area = tcase_create("automaton");

    tcase_add_test(area, acceptsWholeLife);
    tcase_add_test(area, acceptsHalfClose);
    tcase_add_test(area, refusesSeveralBits);
    tcase_add_test(area, refusesOtherPlaces);
    tcase_add_test(area, refusesAfterRelease);
    tcase_add_test(area, refusesTwiceInTurn);
    tcase_add_test(area, refusesWrongOrder);
    tcase_add_test(area, checksInputParameter);
    tcase_add_test(area, refusesRepeatWithoutData);
    tcase_add_test(area, refusesInputWhilePaused);
    tcase_add_test(area, refusesInputAfterEnd);
    tcase_add_test(area, checksOutput);
    tcase_add_test(area, checksFatalError);
    tcase_add_test(area, demandsHangupAfterFatalError);
    tcase_add_test(area, datagramErrorsAreNotFatal);
    tcase_add_test(area, checksHangup);
    tcase_add_test(area, demandsHangupAtRingEnd);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
