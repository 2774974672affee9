package galenehttp

import (
	"context"

	"github.com/rtcsignal/rtcsignal/galene"
)

// Join finds the server of a group, of which it takes the address, connects to it and joins
// the group as [JoinRequest] says: with the token of the address, or with a user name and a
// password, "" for none. ctx bounds only that. The server's refusal is a [*galene.Error].
//
// With Reconnect the client gets a fresh token from the group's authorisation server for
// each connection, if there is one, unless the Rejoin of its Client is set.
func Join(
	ctx context.Context, groupURL, username, password string, opts *DialOptions,
) (*galene.Client, *galene.Joined, error) {
	var o DialOptions
	if opts != nil {
		o = *opts
	}
	var client galene.ClientOptions
	if o.Client != nil {
		client = *o.Client
	}
	var status *galene.Status // set before the client has joined, and Rejoin is called after that
	if o.Reconnect && client.Rejoin == nil {
		client.Rejoin = func(ctx context.Context, _ *galene.Join) (*galene.Join, error) {
			if status.AuthServer == "" {
				return nil, nil // as before
			}
			return JoinRequest(ctx, groupURL, status, username, password, &o)
		}
	}
	o.Client = &client
	c, status, err := Connect(ctx, groupURL, &o)
	if err != nil {
		return nil, nil, err
	}
	join, err := JoinRequest(ctx, groupURL, status, username, password, &o)
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	joined, err := c.Join(ctx, join)
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, joined, nil
}
